/** JSON that every reader reads alike: what decides over a request must be the same for the shim and the gateway. Pure. */

/** Deeper than what callers send is. 2 MiB of nested brackets would hold everybody up for a second. */
const MAX_DEPTH = 64;

/**
 * @param data the bytes
 * @returns the JSON object in them, or why it is no unambiguous one: words that go after its name
 */
export function parseUnambiguous(data: Buffer): Readonly<Record<string, unknown>> | string {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
    if (isDeep(text)) return `is nested deeper than ${MAX_DEPTH} levels`;
    value = JSON.parse(text);
  } catch {
    return 'must be JSON in UTF-8, without a content coding';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'must be a JSON object';
  if (hasDuplicateKey(text)) return 'has a duplicate key';
  return value as Readonly<Record<string, unknown>>;
}

/**
 * `JSON.parse` keeps the last of two equal keys and says nothing.
 *
 * @param text valid JSON
 * @returns whether any object in it has a key twice, escapes read (`"to\u006fl"` is `"tool"`)
 */
export function hasDuplicateKey(text: string): boolean {
  const open: Set<string>[] = [];
  const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}]/g;
  for (let match = tokens.exec(text); match; match = tokens.exec(text)) {
    const [token, colon] = match;
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, -colon.length)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return true;
      keys?.add(key);
    }
  }
  return false;
}

/**
 * Counts brackets outside strings; what is no JSON is found out later. The pattern for a string cannot fail once it
 * has begun: one that is never closed would otherwise be tried again from each of its quotes.
 */
function isDeep(text: string): boolean {
  let depth = 0;
  const tokens = /"[^"\\]*(?:\\[^][^"\\]*)*"?|[[\]{}]/g;
  for (let match = tokens.exec(text); match; match = tokens.exec(text)) {
    const [token] = match;
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}
