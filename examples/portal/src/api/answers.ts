// What was read, kept for the time without a connection, and for nobody else.
//
// Answers are sealed with AES-GCM. The key is in `sessionStorage`: it ends with the tab, and with it whatever is
// left on the disk is noise. Each tab has a database of its own, which is removed when the person logs out; those
// of tabs that were closed without logging out are removed when the portal is opened the next time.
const PREFIX = 'meditrustal-portal-';
const STORE = 'answers';

/** Whether this browser can keep answers: it needs a page by https, or of this machine. */
export const canKeep = globalThis.isSecureContext && 'indexedDB' in globalThis && 'locks' in navigator;

export interface Answer {
  readonly text: string;
  /** When it was given. Unit: milliseconds since 1970. */
  readonly at: number;
}

interface Row {
  readonly iv: Uint8Array<ArrayBuffer>;
  readonly data: ArrayBuffer;
}

/** The answers of one log-in. */
export class Answers {
  readonly #name: string;
  readonly #key: Promise<CryptoKey>;
  #database: Promise<IDBDatabase> | undefined;
  #release: (() => void) | undefined;
  #closed = false;
  readonly #running = new Set<Promise<unknown>>();

  /** `secret` is 32 random bytes, as hexadecimal digits; the name of the database says nothing of it. */
  constructor(name: string, secret: string) {
    this.#name = PREFIX + name;
    const bytes = Uint8Array.from(secret.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    this.#key = crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt']);
    // Held as long as the tab lives, so that no other tab takes the database for an abandoned one.
    navigator.locks.request(this.#name, () => new Promise<void>((resolve) => (this.#release = resolve))).catch(() => {});
  }

  async keep(question: string, text: string): Promise<void> {
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const plain = new TextEncoder().encode(JSON.stringify({ text, at: Date.now() } satisfies Answer));
    const data = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, await this.#key, plain);
    const id = await digest(question);
    await this.#run('readwrite', (rows) => rows.put({ iv, data } satisfies Row, id));
  }

  async find(question: string): Promise<Answer | undefined> {
    const id = await digest(question);
    const row = await this.#run<Row>('readonly', (rows) => rows.get(id));
    if (!row) return undefined;
    const plain = await crypto.subtle.decrypt({ name: 'AES-GCM', iv: row.iv }, await this.#key, row.data);
    return JSON.parse(new TextDecoder().decode(plain)) as Answer;
  }

  async drop(): Promise<void> {
    this.#closed = true;
    // What was begun ends first: else it would open the database anew.
    await Promise.allSettled(this.#running);
    (await this.#database?.catch(() => undefined))?.close();
    await removeDatabase(this.#name);
    this.#release?.();
  }

  /** Nothing, once the person has logged out. */
  async #run<T>(mode: IDBTransactionMode, action: (rows: IDBObjectStore) => IDBRequest): Promise<T | undefined> {
    if (this.#closed) return undefined;
    const run = (this.#database ??= open(this.#name)).then((database) => settled<T>(action(database.transaction(STORE, mode).objectStore(STORE))));
    this.#running.add(run);
    return run.finally(() => this.#running.delete(run));
  }
}

/** Removes what tabs left that were closed without logging out. */
export async function removeAbandoned(): Promise<void> {
  if (!canKeep) return;
  const { held = [] } = await navigator.locks.query();
  const alive = new Set(held.map((lock) => lock.name));
  for (const { name } of await indexedDB.databases()) {
    if (name?.startsWith(PREFIX) && !alive.has(name)) await removeDatabase(name);
  }
}

async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function open(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return settled<IDBDatabase>(request).then((database) => {
    // A tab that was duplicated has the same database: it does not keep the other one from removing it.
    database.onversionchange = () => database.close();
    return database;
  });
}

function removeDatabase(name: string): Promise<unknown> {
  return settled(indexedDB.deleteDatabase(name));
}

function settled<T>(request: IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result as T);
    request.onerror = () => reject(request.error ?? new Error('the browser keeps nothing'));
  });
}
