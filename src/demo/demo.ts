/** `auth-shim demo`: the defect and its end, on this machine alone, with nothing installed. */
import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { hashToken, mintToken } from '../callers/token.ts';
import { parseConfig } from '../config/load.ts';
import type { RequestLog } from '../observe/log.ts';
import { startShim } from '../server/shim.ts';
import type { RawToken } from '../types.ts';
import { startGateway } from './gateway.ts';

const RELEASE = '2026.3.28';
const CHAT = {
  model: 'openclaw',
  stream: true,
  messages: [{ role: 'user', content: 'Does a headless caller get an answer?' }],
} as const;
const WORDS = ['Yes', ':', ' the', ' shim', ' sent', ' your', ' scopes', ' along', '.'];

/** Where the demo can be called, while it is kept. */
export interface Demo {
  readonly baseUrl: string;
  readonly token: RawToken;
  stop(): Promise<void>;
}

/**
 * Starts a stand-in gateway with 2026.3.28's rules and a shim before it, and asks both the same question.
 *
 * @param print where the demonstration goes
 * @param log where the shim's request lines go
 * @returns what to call and how to end it
 * @throws Error where the outcome is not the one that is shown: 403 straight, a streamed reply through the shim
 */
export async function runDemo(print: (text: string) => void, log: RequestLog): Promise<Demo> {
  const secret = randomBytes(24).toString('hex');
  const token = mintToken(randomBytes);
  const gateway = await startGateway({
    release: RELEASE,
    auth: { mode: 'token', token: secret },
    words: WORDS,
    chunks: WORDS.length,
    chunkDelay: 60,
  });
  const yaml = [
    'listen: { host: 127.0.0.1, port: 0 }',
    `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: GATEWAY_TOKEN } } }`,
    'callers:',
    '  - name: demo',
    `    tokens: [{ hash: "sha256:${hashToken(token)}" }]`,
    '    scopes: [operator.read, operator.write]',
  ].join('\n');
  const world = { readFile: () => '', env: { GATEWAY_TOKEN: secret }, home: '/', now: Date.now() };
  const { config } = await parseConfig('demo.yaml', yaml, world);
  const shim = await startShim(config, log);
  const stop = async (): Promise<void> => {
    await shim.stop();
    await gateway.close();
  };

  try {
    print(`A stand-in gateway with the rules of OpenClaw ${RELEASE}: ${gateway.url}\n`);
    print(`A shim before it:                                      ${shim.url}\n\n`);
    print(`1. Straight to the gateway, with its own valid token:\n`);
    const straight = await ask(print, gateway.url, '$OPENCLAW_GATEWAY_TOKEN', secret);
    print('\n2. Through the shim, with a token of its caller "demo":\n');
    const through = await ask(print, shim.url, '$SHIM_TOKEN', token);
    if (straight.status !== 403 || through.status !== 200 || !through.body.trimEnd().endsWith('data: [DONE]')) {
      throw new Error(`the demo went wrong: ${straight.status} straight, ${through.status} through the shim`);
    }
    print(`\n403 straight, ${through.status} and a streamed reply through the shim.\n`);
    return { baseUrl: `${shim.url}/v1`, token, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function ask(
  print: (text: string) => void,
  url: string,
  shown: string,
  token: string,
): Promise<{ status: number; body: string }> {
  const body = JSON.stringify(CHAT);
  print(`   $ curl -N ${url}/v1/chat/completions -H "Authorization: Bearer ${shown}" \\\n`);
  print(`       -H "Content-Type: application/json" -d '${body}'\n`);
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const req = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: new Agent() }, (res) => {
      print(`   HTTP ${res.statusCode}\n`);
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        text += chunk;
        print(chunk.replace(/^(?=.)/gm, '   '));
      });
      res.on('end', () => {
        if (!text.endsWith('\n')) print('\n');
        resolve({ status: res.statusCode ?? 0, body: text });
      });
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end(body);
  });
}
