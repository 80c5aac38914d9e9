// Goes through the playground as a developer would, in a real browser:
//
//   node tests/browser/playground.mjs --url http://127.0.0.1:8000 --login ana --password-file F
//       [--screenshot OUT.png] [--dark] [--expect-event] [--timeout SECONDS]
//   node tests/browser/playground.mjs --url http://127.0.0.1:8000 --login ana --session-file F [--timeout SECONDS]
//
// With --screenshot it takes a picture of each example, of a narrow screen, of updates of records and of the end.
//
// Prints a line per step. Fails, with exit code 1 and a sentence, when a step does not come
// true in time, and on any console error, page error, breach of the content security policy,
// or request to another origin. With --expect-event the last step waits for one event: the
// caller, who sees "subscription: connected", makes something happen.
//
// With --session-file it takes over a log-in whose access token expires soon, and follows a
// subscription past that moment: it prints "token has expired", waits for a line on its standard
// input before the token is exchanged: how many events it has to be told of, those meanwhile included.
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure, cleanUp, complaints, escape, start, step, watchErrors } from './browser.mjs';

/** A desktop's. */
const VIEWPORT = { width: 1440, height: 900 };

const options = readOptions();
const origin = new URL(options.url).origin;
let page;

try {
  await run();
} catch (error) {
  process.exitCode = 1;
  console.error(`playground: FAILED: ${error instanceof Failure ? error.message : error.stack}`);
  complaints.forEach((complaint) => console.error(`  ${complaint}`));
  await screenshot().catch(() => {});
} finally {
  await cleanUp();
}

async function run() {
  if (options['session-file']) return outliveToken();
  const password = await readPassword();
  await begin();
  await loadPage();

  await step('schema is known', async () => {
    await click('button[aria-label="Show Documentation Explorer"]');
    await seeText('.graphiql-doc-explorer', /Root Types/i, 'the root types in the documentation explorer');
    await click('.graphiql-doc-explorer-content a ::-p-text(Query)');
    await seeText('.graphiql-doc-explorer', /medicalRecords/, 'the field medicalRecords in the documentation explorer');
    return 'documentation explorer shows Query';
  });

  await step('logs in', async () => {
    await page.type('.account-bar input[name="login"]', options.login);
    await page.type('.account-bar input[name="password"]', password);
    await click('.account-bar button[type="submit"]');
    await until('the account bar to answer', () =>
      document.querySelector('.account-bar .account') || document.querySelector('.account-error')?.textContent,
    );
    const refused = await textOf('.account-error');
    if (refused) throw new Failure(`the API refused to log in ${options.login}: ${refused}`);
    await click('.graphiql-editor-tools button[data-name="headers"]');
    await seeText('.graphiql-editor-tool .graphiql-editor:not(.hidden) .view-lines', /"Authorization":\s*"Bearer /, 'the token in the Headers editor');
    return `as ${await textOf('.account-bar .account strong')}`;
  });

  await step('runs the query', async () => {
    const username = await textOf('.account-bar .account strong');
    await click('.graphiql-execute-button');
    await seeText('.result-window', new RegExp(`"username":\\s*"${escape(username)}"`), `the user name ${username} in the response`);
    return `Welcome → ${username}, ${(await textOf('.status-line')).replace(/ · request .*/, '')}`;
  });

  await step('builds by clicks', async () => {
    await click('button[aria-label="Show GraphiQL Explorer"]');
    await see('.graphiql-explorer-root [data-field-name="medicalRecords"]', 'the fields of the schema in the explorer');
    await click('.graphiql-explorer-me [data-field-name="isActive"]');
    await seeText('.graphiql-query-editor .view-lines', /\bisActive\b/, 'the field isActive in the operation');
    await click('button[aria-label="Hide GraphiQL Explorer"]');
    return 'Welcome asks for isActive';
  });

  await step('tabs are grouped', async () => {
    const groups = await page.$$eval('.tab-groups button', (buttons) => buttons.map((button) => button.textContent));
    await click('.tab-groups button ::-p-text(What happened)');
    await see('.graphiql-tab-active button[title="Notifications"]', 'the first tab of the last group');
    await until('its tab to be in view', () => {
      const bar = document.querySelector('.graphiql-tabs').getBoundingClientRect();
      const tab = document.querySelector('.graphiql-tab-active').getBoundingClientRect();
      return tab.left >= bar.left - 1 && tab.right <= bar.right + 1;
    });
    const begins = await page.$$eval('.graphiql-tab[data-begins-group]', (tabs) => tabs.length);
    expectEqual(begins, groups.length - 1, 'the number of groups after the first');
    await click('.tab-groups button ::-p-text(Begin)');
    await see('.graphiql-tab-active button[title="Welcome"]', 'the first tab');
    return groups.join(', ');
  });

  await step('every example is valid', async () => {
    const titles = await page.$$eval('.graphiql-tab button[id^="graphiql-session-tab-"]', (tabs) => tabs.map((tab) => tab.textContent));
    for (const title of titles) {
      await openTab(title);
      await editorHolds(title);
      await editorSettles();
      const wrong = await page.evaluate(() =>
        globalThis.__MONACO.editor
          .getModelMarkers({})
          .filter(({ resource, severity }) => severity >= 8 && /operation\.graphql|variables\.json/.test(resource.path))
          .map(({ message, startLineNumber }) => `line ${startLineNumber}: ${message}`),
      );
      await picture(title);
      if (wrong.length) throw new Failure(`the example ${title} does not fit the schema: ${wrong.join('; ')}`);
    }
    await seeText('.status-line', /^Ctrl-Enter/, `that ${titles.at(-1)} was not run yet`);
    return titles.join(', ');
  });

  await step('log-in ends elsewhere', async () => {
    await openTab('Welcome');
    await page.evaluate(async () => {
      const { token } = JSON.parse(sessionStorage.getItem('meditrustal:session'));
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      await fetch('/graphql', { method: 'POST', headers, body: '{"query":"mutation { logOut { endedSessions } }"}' });
    });
    await click('.graphiql-execute-button');
    await seeText('.account-error', /Log in again/, 'that the log-in is over');
    await seeText('.account-bar button[type="submit"]', /Log in again/, 'the offer to log in again');
    const login = await page.$eval('.account-bar input[name="login"]', (input) => input.value);
    await page.type('.account-bar input[name="password"]', password);
    await click('.account-bar button[type="submit"]');
    await seeText('.account-bar .account strong', new RegExp(escape(login)), `${login} in the account bar again`);
    await seeText('.graphiql-editor-tool .graphiql-editor:not(.hidden) .view-lines', /"Authorization":\s*"Bearer /, 'the new token in the Headers editor');
    await click('.graphiql-execute-button');
    await seeText('.result-window', new RegExp(`"username":\\s*"${escape(login)}"`), `the user name ${login} in the response`);
    return `${login} again`;
  });

  await step('narrow screen', async () => {
    await page.setViewport({ width: 360, height: 740 });
    await until('everything to be as wide as the screen', () => {
      const wide = ['.graphiql-editors', '.graphiql-response'].map((css) => document.querySelector(css).getBoundingClientRect());
      const [editors, response] = wide;
      return (
        document.documentElement.scrollWidth <= innerWidth &&
        document.documentElement.scrollHeight <= document.getElementById('graphiql').getBoundingClientRect().bottom + scrollY + 1 &&
        wide.every(({ width, height }) => width >= 300 && height >= 80) &&
        response.top >= editors.bottom - 1
      );
    });
    await picture('narrow');
    await page.setViewport(VIEWPORT);
    await until('both editors to be side by side again', () => {
      const [editors, response] = ['.graphiql-editors', '.graphiql-response'].map((css) => document.querySelector(css).getBoundingClientRect());
      return response.left >= editors.right - 1;
    });
    return '360 pixels';
  });

  await step('subscription', async () => {
    await openTab('IntegrityEvents');
    await click('.graphiql-execute-button');
    await until('the subscription to connect', () =>
      ['waiting', 'failed', 'ended'].includes(document.querySelector('.status-line')?.dataset.phase),
    );
    const line = await textOf('.status-line');
    if (!line.startsWith('Connected')) throw new Failure(`the subscription did not connect: ${line}`);
    return 'connected';
  });

  if (options['expect-event']) {
    await step('event', async () => {
      await seeText('.result-window', /"integrityEvents":\s*\{/, 'an event in the response');
      return await textOf('.status-line');
    });
  }

  if (options.screenshot) {
    await step('screenshot', async () => {
      await screenshot();
      return options.screenshot;
    });
  }

  if (options['expect-event']) {
    await step('record updates', async () => {
      await openTab('RecordUpdates');
      await editorHolds('RecordUpdates');
      await click('.graphiql-execute-button');
      await seeText('.result-window', /"newestFirst":\s*\[/, 'several updates in the response');
      await seeText('.result-window', /"recordUpdated":\s*\{/, 'an update in the response');
      await picture('RecordUpdates-told');
      return await textOf('.status-line');
    });

    await step('own record', async () => {
      await openTab('OneRecord');
      await editorHolds('OneRecord');
      const filled = () =>
        globalThis.__MONACO.editor.getModels().some((model) => model.uri.path.endsWith('variables.json') && /"id":\s*"[0-9a-f-]{36}"/.test(model.getValue()));
      await until('the id of a record in the variables', filled);
      await click('.graphiql-execute-button');
      await seeText('.result-window', /"recordType":\s*"VITAL_SIGNS"/, 'the record in the response');
      return 'is filled in';
    });
  }
}

async function loadPage() {
  await step('page loads', async () => {
    const answer = await page.goto(`${origin}/playground`, { waitUntil: 'load' }).catch((error) => {
      throw new Failure(`cannot open ${origin}/playground: ${error.message}`);
    });
    if (answer.status() !== 200) throw new Failure(`GET /playground answered ${answer.status()}`);
    if (!answer.headers()['content-security-policy']) throw new Failure('/playground has no content security policy');
    expectEqual(await page.title(), 'MediTrustAl', 'the title');
    await see('.graphiql-query-editor .monaco-editor .view-line', 'the query editor');
    return `${origin}/playground`;
  });
}

/** A subscription whose access token expires goes on with the next one, after the last event that it has. */
async function outliveToken() {
  const session = await readFile(options['session-file'], 'utf8');
  await begin();
  await loadPage();

  await step('takes over a log-in', async () => {
    await page.evaluate((text) => sessionStorage.setItem('meditrustal:session', text), session);
    await page.reload({ waitUntil: 'load' });
    await seeText('.account-bar .account strong', new RegExp(escape(options.login)), `${options.login} in the account bar`);
    return `as ${options.login}`;
  });

  const held = await holdExchanges();
  await step('subscription', async () => {
    await openTab('IntegrityEvents', { run: true });
    await seeText('.status-line', /^Connected/, 'the subscription to connect');
    return 'connected';
  });

  await step('event', async () => {
    await seeText('.status-line', /\b[1-9]\d* events?\b/, 'an event');
    return await textOf('.status-line');
  });

  await step('token has expired', async () => {
    await held.asked;
    return await textOf('.status-line');
  });

  await step('goes on', async () => {
    const told = Number(await lineOfInput());
    held.release();
    await seeText('.status-line', /connected again once/, 'the subscription to connect again');
    await page.waitForFunction(
      (least) => Number(/(\d+) events?/.exec(document.querySelector('.status-line').innerText)?.[1]) >= least,
      {},
      told,
    ).catch(async () => {
      throw new Failure(`waited ${options.timeout} s for ${told} events; there is: ${await textOf('.status-line')}`);
    });
    return await textOf('.status-line');
  });
}

/** Holds back the exchange of a token until it is released. */
async function holdExchanges() {
  let ask;
  let release;
  const asked = new Promise((resolve) => (ask = resolve));
  const released = new Promise((resolve) => (release = resolve));
  await page.setRequestInterception(true);
  page.on('request', async (request) => {
    if (request.postData()?.includes('refreshSession')) {
      ask();
      await released;
    }
    await request.continue();
  });
  return { asked, release };
}

function lineOfInput() {
  return new Promise((resolve) => process.stdin.once('data', (line) => resolve(String(line)))).finally(() => process.stdin.pause());
}

async function readPassword() {
  const text = await readFile(options['password-file'], 'utf8').catch((error) => {
    throw new Failure(`cannot read the password: ${error.message}`);
  });
  return text.replace(/\r?\n$/, '');
}

async function begin() {
  const started = await start({ timeoutMillis: options.timeoutMillis, viewport: VIEWPORT });
  page = started.page;
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: options.dark ? 'dark' : 'light' }]);
  await watch(page);
  console.log(`browser: ${await started.browser.version()}`);
}

/** Collects whatever must not happen, in the page and in its workers. */
async function watch(watched) {
  const session = await watchErrors(watched, (text) => complaints.push(text));
  watched.on('requestfailed', (request) => complaints.push(`request failed: ${request.url()} ${request.failure()?.errorText}`));
  watched.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`status ${response.status()}: ${response.url()}`);
  });
  watched.on('request', (request) => foreign(request.url()));
  watched.on('workercreated', (worker) => {
    foreign(worker.url());
    worker.client.on('Network.requestWillBeSent', ({ request }) => foreign(request.url));
    worker.client.send('Network.enable').catch(() => {}); // the worker may be gone again
  });
  session.on('Network.webSocketCreated', ({ url }) => foreign(url.replace(/^ws/, 'http')));
  await session.send('Network.enable');
}

function foreign(url) {
  const parsed = new URL(url);
  if (parsed.protocol === 'data:') return; // stays inside the page
  if (parsed.origin !== origin || parsed.protocol === 'blob:') complaints.push(`request to another origin: ${url.slice(0, 200)}`);
}

/** Opens a tab; with `run` also runs it, at once. */
async function openTab(title, { run = false } = {}) {
  await page.waitForSelector(`.graphiql-tab button[title="${title}"]`);
  // By script: the tab may be scrolled out of the bar, and being draggable it would move under a mouse.
  await page.$eval(`.graphiql-tab button[title="${title}"]`, (tab, atOnce) => {
    tab.click();
    // As fast as a hand could ever be: React has drawn the tab, and GraphiQL has not read its operation yet.
    if (atOnce) setTimeout(() => document.querySelector('.graphiql-execute-button').click());
  }, run);
}

/** Waits until the editor holds the operation: it may begin below what is in view, where comments stand before it. */
async function editorHolds(title) {
  const found = (name) =>
    globalThis.__MONACO.editor
      .getModels()
      .some((model) => model.uri.path.endsWith('operation.graphql') && new RegExp(`(query|mutation|subscription)\\s+${name}\\b`).test(model.getValue()));
  await page.waitForFunction(found, {}, title).catch(() => {
    throw new Failure(`waited ${options.timeout} s for the operation ${title} in the editor`);
  });
}

/** Waits until Monaco's workers have looked at what is in the editor: markers unchanged for half a second. */
async function editorSettles() {
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        let timer = setTimeout(resolve, 500);
        const listener = globalThis.__MONACO.editor.onDidChangeMarkers(() => {
          clearTimeout(timer);
          timer = setTimeout(() => {
            listener.dispose();
            resolve();
          }, 500);
        });
      }),
  );
}

async function click(selector) {
  await see(selector, selector);
  await page.locator(selector).click();
}

async function see(selector, what) {
  await page.waitForSelector(selector, { visible: true }).catch(() => {
    throw new Failure(`waited ${options.timeout} s for ${what}`);
  });
}

async function seeText(selector, pattern, what) {
  const found = () =>
    page.waitForFunction(
      (css, source, flags) => {
        // Monaco writes non-breaking spaces.
        const text = [...document.querySelectorAll(css)].map((node) => node.innerText).join('\n').replaceAll('\u00a0', ' ');
        return new RegExp(source, flags).test(text);
      },
      {},
      selector,
      pattern.source,
      pattern.flags,
    );
  await found().catch(async () => {
    const shown = (await textOf(selector)).slice(0, 400) || 'nothing';
    throw new Failure(`waited ${options.timeout} s for ${what}; there is: ${shown}`);
  });
}

async function until(what, condition) {
  await page.waitForFunction(condition).catch(() => {
    throw new Failure(`waited ${options.timeout} s for ${what}`);
  });
}

async function textOf(selector) {
  return page.$eval(selector, (node) => node.innerText.replaceAll('\u00a0', ' ').trim()).catch(() => '');
}

/** A picture beside that of the end, in its name. */
async function picture(name) {
  if (!options.screenshot) return;
  await mkdir(dirname(resolve(options.screenshot)), { recursive: true });
  await page.screenshot({ path: options.screenshot.replace(/(\.png)?$/, `-${name}.png`) });
}

async function screenshot() {
  if (!options.screenshot || !page) return;
  await mkdir(dirname(resolve(options.screenshot)), { recursive: true });
  await page.screenshot({ path: options.screenshot });
}

function expectEqual(got, wanted, what) {
  if (got !== wanted) throw new Failure(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

function readOptions() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  try {
    const { values } = parseArgs({
      options: {
        url: text,
        login: text,
        'password-file': text,
        'session-file': text,
        screenshot: text,
        timeout: { type: 'string', default: '30' },
        'expect-event': flag,
        dark: flag,
      },
    });
    for (const name of ['url', 'login', values['session-file'] ? 'session-file' : 'password-file']) {
      if (!values[name]) throw new Error(`--${name} is missing`);
    }
    return { ...values, timeoutMillis: Number(values.timeout) * 1000 };
  } catch (error) {
    console.error(`playground: ${error.message}`);
    process.exit(2);
  }
}
