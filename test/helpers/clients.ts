/** The clients of docs/clients.md: its blocks, run as they stand there. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter, join } from 'node:path';
import type { Test } from 'tap';
import { ROOT, section, textOf } from './pages.ts';

const PAGE = textOf('docs/clients.md');
/** Programs that npm has, such as `wscat`, before those of the system. */
const WITH_PACKAGES = `${join(ROOT, 'node_modules/.bin')}${delimiter}${process.env.PATH}`;

/** What a client is run with, and what it then says. */
export interface ClientWorld {
  /** Where the shim is. The writer has a WebSocket. */
  readonly url: string;
  readonly reader: string;
  readonly writer: string;
  readonly reply: string;
  /** Whether the gateway ends a stream with a `finish_reason`; 2026.3.28 does not. */
  readonly finishes: boolean;
}

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Sections with blocks of JavaScript, and how each is given another `fetch`. */
const SCRIPTED: Readonly<Record<string, readonly [from: string, to: string] | undefined>> = {
  fetch: undefined,
  undici: undefined,
  'openai for Node': ['maxRetries: 0 }', 'maxRetries: 0, fetch: patientFetch }'],
  'Vercel AI SDK': ['apiKey })', 'apiKey, fetch: patientFetch })'],
  LangChain: ['maxRetries: 0 }', 'maxRetries: 0, configuration: { fetch: patientFetch } }'],
};

/** Status and code stand in either order. */
const REFUSED =
  /^(?:403 insufficient_scope|insufficient_scope 403) This route needs the scope operator\.write; this caller has: operator\.read\.$/;

const UNFINISHED = 'undefined undefined Response stream ended without a finish reason.\n';

/** What npm calls each client of the page's table of what was tried. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  undici: ['undici'],
  'openai for Node': ['openai'],
  'Vercel AI SDK': ['ai', '@ai-sdk/openai-compatible'],
  LangChain: ['@langchain/openai', '@langchain/core'],
  wscat: ['wscat'],
};

/** The sections of the clients that are run. */
export const TRIED = [...Object.keys(SCRIPTED), 'curl', 'wscat'];

/** A reply, a stream and a refusal of both for each client that npm has. */
export async function clientCases(t: Test, world: ClientWorld): Promise<void> {
  for (const [name, another] of Object.entries(SCRIPTED)) {
    const blocks = blocksOf(name, 'js');
    const err = name === 'Vercel AI SDK' && !world.finishes ? UNFINISHED : '';
    const both = { code: 0, out: `${world.reply}\n${world.reply}`, err };
    await t.test(`${name}: a reply, then a stream`, async (t) => {
      t.equal(blocks.length, 2);
      t.same(await node(blocks, world, world.writer), both);
    });

    await t.test(`${name}: both are refused, in its own error`, async (t) => {
      const { code, out, err } = await node(blocks, world, world.reader);
      t.same([code, out], [0, ''], err);
      t.match(err.trimEnd().split('\n'), [REFUSED, REFUSED]);
    });

    if (another) {
      await t.test(`${name}: with a fetch that waits`, async (t) => {
        const [patient = ''] = blocksOf('Two settings that matter', 'js');
        const own = blocks.map((block) => block.replace(...another));
        t.not(own.join(''), blocks.join(''));
        t.same(await node([patient, ...own], world, world.writer), both);
      });
    }
  }

  await t.test('curl: a reply, a stream, a refusal of both', async (t) => {
    const [whole = '', streamed = ''] = blocksOf('curl', 'sh');
    const reply = await run('sh', ['-c', whole], world, world.writer);
    t.equal(reply.code, 0, reply.err);
    t.match(JSON.parse(reply.out), { choices: [{ message: { content: world.reply } }] });
    const stream = await run('sh', ['-c', streamed], world, world.writer);
    t.equal(stream.code, 0, stream.err);
    t.match(stream.out, /^data: [^]*data: \[DONE\]\n\n$/);
    for (const block of [whole, streamed]) {
      const { code, out } = await run('sh', ['-c', block], world, world.reader);
      t.equal(code, 22);
      t.match(JSON.parse(out), { error: { code: 'insufficient_scope', type: 'permission_error', param: null } });
    }
  });

  await wscatCases(t, world);
}

/** Challenge, connect, a request and a refusal of the upgrade; it takes frames as a person types them, or by `-x`. */
async function wscatCases(t: Test, world: ClientWorld): Promise<void> {
  await t.test('wscat: a connect, as the page has it', async (t) => {
    const [block = ''] = blocksOf('wscat', 'sh');
    const { code, out } = await run('sh', ['-c', block], world, world.writer);
    t.equal(code, 0, out);
    t.match(out, /"event":"connect\.challenge"[^]*"type":"hello-ok"/);
    const refused = await run('sh', ['-c', block], world, 'nobody-token-0123456789-abcdef');
    t.not(refused.code, 0);
    t.match(refused.out + refused.err, 'error: Unexpected server response: 401');
  });

  await t.test('wscat: frames that are typed', async (t) => {
    const [, typed = ''] = /`(\{"type":"req","id":"2".*?\})`/.exec(section(PAGE, 'wscat')) ?? [];
    const [, connect = ''] = /'(\{.*\})'/.exec(blocksOf('wscat', 'sh')[0] ?? '') ?? [];
    const header = `Authorization: Bearer ${world.writer}`;
    const child = spawn('wscat', ['--no-color', '-c', `${world.url}/`, '-H', header], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: WITH_PACKAGES },
    });
    t.teardown(() => child.kill('SIGKILL'));
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    const shown = async (words: string): Promise<void> => {
      while (!out.includes(words)) await once(child.stdout, 'data');
    };
    await shown('"event":"connect.challenge"');
    child.stdin.write(`${connect}\n`);
    await shown('"type":"hello-ok"');
    child.stdin.write(`${typed}\n`);
    await shown('"id":"2","ok":true');
    child.stdin.end();
    t.same(await once(child, 'close'), [0, null]);
  });
}

function blocksOf(heading: string, language: string): string[] {
  const blocks = [...section(PAGE, heading).matchAll(/^```(\w+)\n(.*?)^```$/gms)];
  return blocks.flatMap(([, name, block = '']) => (name === language ? [block] : []));
}

/** One module of them all; packages are found from the top of the repository. */
function node(blocks: readonly string[], world: ClientWorld, token: string): Promise<Ended> {
  return run(process.execPath, ['--input-type=module', '-e', blocks.join('\n')], world, token);
}

async function run(program: string, args: readonly string[], { url }: ClientWorld, token: string): Promise<Ended> {
  const child = spawn(program, args, {
    cwd: ROOT,
    // Of those that read it, wscat leaves at its end: it stays open, as a terminal does.
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: WITH_PACKAGES, OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: token },
  });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}
