/** Runs curl, the plainest of headless callers. */
import { spawn } from 'node:child_process';

export interface CurlAnswer {
  /** The last status; 0 when there was none. */
  readonly status: number;
  readonly body: string;
  /** curl's exit code; 18 is a body that broke off. */
  readonly exit: number | null;
}

const STATUS = '\n--status-';

/** @param args what stands behind `curl` on the command line */
export async function curl(...args: readonly string[]): Promise<CurlAnswer> {
  // -k: a gateway's own certificate names no host; this is a test's own on loopback.
  const child = spawn('curl', ['-ksSN', '--noproxy', '*', '-w', `${STATUS}%{http_code}\n`, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  const exit = await new Promise<number | null>((resolve, reject) =>
    child.once('close', resolve).once('error', reject),
  );
  const at = out.lastIndexOf(STATUS);
  return { status: Number(out.slice(at + STATUS.length)), body: out.slice(0, at), exit };
}

/** The arguments of a POST of JSON. */
export function json(token: string | undefined, body: object): string[] {
  const credential = token === undefined ? [] : ['-H', `Authorization: Bearer ${token}`];
  return [...credential, '-H', 'Content-Type: application/json', '-d', JSON.stringify(body)];
}
