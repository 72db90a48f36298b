/** What the gateway's answers hold. Pure. */
import type { Answer } from './ask.ts';

/**
 * @param text that may be JSON
 * @returns the object in it, or `undefined`
 */
export function parseMap(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isMap(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** @returns whether a value is an object, and no list */
export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @returns whether the answer is that of a gateway's health route */
export function isLive({ status, body }: Pick<Answer, 'status' | 'body'>): boolean {
  return status === 200 && body.startsWith('{"ok":true,"status":"live"');
}

/** @returns the scope that an answer says is missing */
export function missingScope({ status, body }: Pick<Answer, 'status' | 'body'>): string | undefined {
  return status === 403 ? /missing scope: ([a-z.]+)/.exec(body)?.[1] : undefined;
}

/** @returns code and message of an error in the shape of the shim, as words */
export function shimError(body: string): string {
  const { error } = parseMap(body) ?? {};
  const { code, message } = isMap(error) ? error : {};
  return [code, message].filter((one) => typeof one === 'string').join(': ');
}
