/** Token usage, read from the end of a passing reply. */

/** The last bytes of a reply that are kept: `usage` is among the last keys, and thousands of streams may be open. */
const TAIL_BYTES = 4 * 1024;
const KEY = '"usage"';
const MOST_SPACE = 21;
/** The value of the key, with a few objects in it but none in those. */
const VALUE = /\s{0,20}:\s{0,20}(\{[^{}]*(?:\{[^{}]*\}[^{}]*){0,8}\})/y;

/** Tokens of one run, as the gateway says. */
export interface Usage {
  readonly input: number;
  readonly output: number;
  readonly total: number;
}

/** Routes whose replies tell their usage. */
const ROUTES: ReadonlySet<string> = new Set(['/v1/chat/completions', '/v1/responses']);

/**
 * @param template the route
 * @param contentType of the reply
 * @param contentEncoding of the reply; what is compressed is not read
 * @returns what reads the usage of this reply, or `undefined` where it has none
 */
export function usageTail(
  template: string,
  contentType: string | undefined,
  contentEncoding: string | undefined,
): UsageTail | undefined {
  if (contentEncoding !== undefined || contentType === undefined || !ROUTES.has(template)) return undefined;
  return /^(?:application\/json|text\/event-stream)\s*(?:;|$)/i.test(contentType) ? new UsageTail() : undefined;
}

/** Keeps the last chunks of a reply, by reference. */
export class UsageTail {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  /** @param chunk the next bytes of the body; they must not change afterwards */
  push(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#chunks.push(chunk);
    for (let first = this.#chunks[0]; first && this.#bytes - first.length >= TAIL_BYTES; first = this.#chunks[0]) {
      this.#bytes -= first.length;
      this.#chunks.shift();
    }
  }

  /**
   * The names are those of Chat Completions (`prompt_tokens`, `completion_tokens`) or Responses (`input_tokens`,
   * `output_tokens`).
   *
   * @returns the last usage in what was kept, or `undefined` where there is none with whole numbers
   */
  read(): Usage | undefined {
    const [only, ...others] = this.#chunks;
    if (only === undefined) return undefined;
    const bytes =
      others.length === 0 ? Buffer.from(only.buffer, only.byteOffset, only.length) : Buffer.concat(this.#chunks);
    const text = bytes.toString('latin1', Math.max(0, bytes.length - TAIL_BYTES));
    // Within a JSON string each quote has a backslash before it, so that a key stands after "{" or "," alone.
    for (let at = text.lastIndexOf(KEY); at > 0; at = text.lastIndexOf(KEY, at - 1)) {
      // No more than the gateway's own white space, so that a long run of it costs nothing.
      const before = text
        .slice(Math.max(0, at - MOST_SPACE), at)
        .trimEnd()
        .at(-1);
      VALUE.lastIndex = at + KEY.length;
      const value = before === '{' || before === ',' ? VALUE.exec(text)?.[1] : undefined;
      if (value !== undefined) return toUsage(value);
    }
    return undefined;
  }
}

function toUsage(json: string): Usage | undefined {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const input = value.prompt_tokens ?? value.input_tokens;
  const output = value.completion_tokens ?? value.output_tokens;
  if (!isCount(input) || !isCount(output)) return undefined;
  const total = value.total_tokens ?? input + output;
  return isCount(total) ? { input, output, total } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
