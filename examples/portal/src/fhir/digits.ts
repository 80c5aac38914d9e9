// Numbers keep the digits they were written with: `62.0` is not `62` to a clinician, and JavaScript's numbers do
// not know the difference. Hence documents are JSON texts here, and go into a request as they are.

/** A number by its digits. */
export class Digits {
  constructor(readonly text: string) {
    if (!/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) throw new RangeError('not a decimal number');
  }
}

/** What a person typed as a number, with a decimal comma or point; undefined where it is none. */
export function readDigits(typed: string): Digits | undefined {
  const text = typed.trim().replace(',', '.');
  return /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) ? new Digits(text) : undefined;
}

/** A JSON text; what is undefined is left out. */
export function toJsonText(value: unknown): string {
  if (value instanceof Digits) return value.text;
  if (Array.isArray(value)) return `[${value.map(toJsonText).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${toJsonText(member)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** Reads a JSON text with its numbers as `Digits`. Throws where it is no JSON. */
export function fromJsonText(text: string): unknown {
  JSON.parse(text); // for its error, which says where
  const NUMBER = '\u0000number:';
  const marked = text.replace(TOKEN, (token) => (/^[-\d]/.test(token) ? JSON.stringify(NUMBER + token) : token));
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith(NUMBER) ? number(value.slice(NUMBER.length)) : value,
  ) as unknown;
}

/** With line breaks and indentation, and otherwise as it is: digits and order stay. */
export function prettyJson(text: string): string {
  let depth = 0;
  let before = '';
  const line = () => `\n${'  '.repeat(depth)}`;
  return text.replace(TOKEN, (token) => {
    if (/^\s/.test(token)) return '';
    const isFirst = before === '{' || before === '[';
    before = token;
    const begins = isFirst ? line() : '';
    switch (token) {
      case '{':
      case '[':
        depth += 1;
        return begins + token;
      case '}':
      case ']':
        depth -= 1;
        return isFirst ? token : line() + token;
      case ',':
        return token + line();
      case ':':
        return ': ';
      default:
        return begins + token;
    }
  });
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[{}[\]:,]|\s+/g;

function number(text: string): unknown {
  return /[eE]/.test(text) ? Number(text) : new Digits(text);
}

// A document on its way through the client's variables: nobody can type what it begins with.
const MARK = `json:${crypto.randomUUID()}:`;

/** The value of a variable that stands for this JSON text. */
export function asVariable(text: string): unknown {
  return MARK + text;
}

/** Puts the JSON texts back in the place of the variables that stand for them. */
export function restoreJsonText(body: string): string {
  if (!body.includes(MARK)) return body;
  return body.replace(/"(?:[^"\\]|\\.)*"/g, (token) => {
    if (!token.startsWith(`"${MARK}`)) return token;
    return (JSON.parse(token) as string).slice(MARK.length);
  });
}
