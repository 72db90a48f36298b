/** The body of `POST /tools/invoke`, for callers who may invoke named tools alone. Pure. */
import { refuse, type Refusal } from '../errors.ts';

/** Deeper than arguments of tools are. 2 MiB of nested brackets would hold everybody up for a second. */
const MAX_DEPTH = 64;

/**
 * The gateway reads the tool from `tool` or `name` (`name` wins), so that a body with both, or with a key twice,
 * could name one tool to the shim and another to the gateway.
 *
 * @param tools names of the tools that are allowed
 * @param body the whole request body
 * @returns 400 for a body that is not one unambiguous JSON object, 403 for another tool, `undefined` where it may pass
 */
export function checkToolBody(tools: readonly string[], body: Buffer): Refusal | undefined {
  const bad = (message: string): Refusal => refuse('bad_request', { message, reason: message });
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
    if (isDeep(text)) return bad(`The body is nested deeper than ${MAX_DEPTH} levels.`);
    value = JSON.parse(text);
  } catch {
    return bad('The body must be JSON in UTF-8, without a content coding.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return bad('The body must be a JSON object.');
  if (hasDuplicateKey(text)) return bad('The body has a duplicate key.');
  if (Object.hasOwn(value, 'tool') && Object.hasOwn(value, 'name')) return bad('The body has both "tool" and "name".');
  const { tool, name } = value as { readonly tool?: unknown; readonly name?: unknown };
  const asked = tool ?? name;
  if (typeof asked !== 'string') return bad('The body must name the tool as a string in "tool".');
  if (!tools.includes(asked)) {
    return refuse('tool_not_allowed', { message: `This caller may invoke only: ${tools.join(', ')}.` });
  }
  return undefined;
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
