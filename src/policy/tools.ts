/** The body of `POST /tools/invoke`, for callers who may invoke named tools alone. Pure. */
import { refuse, type Refusal } from '../errors.ts';
import { parseUnambiguous } from '../json.ts';

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
  const value = parseUnambiguous(body);
  if (typeof value === 'string') return bad(`The body ${value}.`);
  if (Object.hasOwn(value, 'tool') && Object.hasOwn(value, 'name')) return bad('The body has both "tool" and "name".');
  const { tool, name } = value;
  const asked = tool ?? name;
  if (typeof asked !== 'string') return bad('The body must name the tool as a string in "tool".');
  if (!tools.includes(asked)) {
    return refuse('tool_not_allowed', { message: `This caller may invoke only: ${tools.join(', ')}.` });
  }
  return undefined;
}
