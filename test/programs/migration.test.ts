/** The migration page: each way, step by step as it stands there, against stand-in gateways; what it says is printed, is. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startGateway, type Release, type StandInGateway } from '../../src/demo/gateway.ts';
import { section, textOf } from '../helpers/pages.ts';
import { MAIN, serve, type Served } from '../helpers/process.ts';
import { GATEWAY_SECRET } from '../helpers/stack.ts';

const PAGE = textOf('docs/migration.md');

interface Block {
  readonly language: string;
  readonly text: string;
}

interface GatewayFile {
  readonly gateway: { port: number; readonly bind: string; readonly auth: { readonly mode: 'token'; token: string } };
}

function blocksOf(heading: string): Block[] {
  return [...section(PAGE, heading).matchAll(/^( *)```(\w+)\n(.*?)^\1```$/gms)].map(
    ([, indent = '', language = '', text = '']) => ({ language, text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), '') }), // prettier-ignore
  );
}

/** What the operator does to the gateway is done to the stand-in. */
const OF_THE_GATEWAY = /^(?:openclaw|npm) .*$/gm;

/** A machine with a gateway, on which the steps of a way are taken. */
class Machine {
  readonly #t: Test;
  readonly #home: string;
  readonly #ports: ReadonlyMap<string, number>;
  #release: Release;
  /** An installed service has the port of its installation, whatever the file says by now. */
  #servicePort: number;
  #gateway: StandInGateway | undefined;
  #shim: Served | undefined;
  /** What the last block printed; `undefined` where it could not be run here. */
  #printed: string | undefined;
  #proxy: string | undefined;

  constructor(t: Test, release: Release, [gateway, shim, admin]: readonly [number, number, number]) {
    this.#t = t;
    this.#release = release;
    this.#servicePort = gateway;
    const file = { gateway: { port: gateway, bind: 'loopback', auth: { mode: 'token', token: GATEWAY_SECRET } } };
    this.#home = t.testdir({ '.openclaw': { 'openclaw.json': JSON.stringify(file) } });
    this.#ports = new Map([
      ['18789', gateway],
      ['18790', gateway + 1],
      ['18780', shim],
      ['18781', admin],
    ]);
    t.teardown(() => this.#gateway?.close());
  }

  async restart(): Promise<void> {
    await this.#stop();
    const { auth } = this.#file().gateway;
    this.#gateway = await startGateway({ release: this.#release, port: this.#servicePort, auth });
  }

  async #stop(): Promise<void> {
    await this.#gateway?.close();
    this.#gateway = undefined;
  }

  async take(blocks: readonly Block[]): Promise<void> {
    for (const { language, text } of blocks) {
      if (language === 'sh') await this.#run(text);
      else if (language === 'text' && !text.includes('reverse_proxy')) this.#compare(text);
      else if (language === 'yaml') await this.#reloaded(() => this.#configure(text));
      else if (language === 'nginx') await this.#startProxy(text);
    }
  }

  async #run(block: string): Promise<void> {
    let said = '';
    for (const [line] of block.matchAll(OF_THE_GATEWAY)) said += await this.#operate(line);
    if (block.includes('npx auth-shim serve')) {
      const file = /AUTH_SHIM_CONFIG=~(\S+)/.exec(block)?.[1] ?? '';
      this.#shim = await serve(this.#t, [], { env: { HOME: this.#home, AUTH_SHIM_CONFIG: this.#home + file } });
      return;
    }
    if (block.includes('https://') && this.#proxy === undefined) {
      this.#t.comment('nginx is not installed');
      this.#printed = undefined;
      return;
    }
    const changes = /auth-shim token (?:new|revoke)/.test(block);
    const run = async (): Promise<void> => {
      this.#printed = said + (await this.#shell(this.#here(block.replaceAll(OF_THE_GATEWAY, ''))));
    };
    await (changes ? this.#reloaded(run) : run());
    const [, written] = /AUTH_SHIM_CONFIG=~(\S+)[^]*auth-shim init/.exec(block) ?? [];
    // It has the ports of the page.
    if (written !== undefined) this.#edit(written, (text) => this.#here(text));
  }

  /** What `openclaw` and `npm` would do, and say. */
  async #operate(line: string): Promise<string> {
    const { gateway } = this.#file();
    const [, set, value = ''] = /^openclaw config set gateway\.(port|auth\.token) (.*)$/.exec(line) ?? [];
    if (set === 'port') gateway.port = Number(this.#here(value));
    else if (set === 'auth.token') gateway.auth.token = randomBytes(32).toString('hex');
    else if (line === 'openclaw gateway restart') await this.restart();
    else if (line === 'openclaw gateway stop') await this.#stop();
    else if (line === 'openclaw gateway install --force') {
      this.#servicePort = gateway.port;
      await this.restart();
    } else if (line === 'openclaw config get gateway.bind') return `${gateway.bind}\n`;
    else if (line === 'openclaw --version') return 'OpenClaw 2026.9.6 (eb377ac)\n';
    else if (line === 'openclaw doctor --fix && echo fixed') {
      this.#t.equal(this.#gateway, undefined, 'nobody else has the files open');
      return 'fixed\n';
    } else if (line.startsWith('npm install')) {
      const [, release = ''] = /@(\S+)$/.exec(line) ?? [];
      this.#release = release === 'latest' ? '2026.9.6' : (release as Release);
    } else this.#t.match(line, /^npm uninstall/, 'nothing else is asked of it');
    if (set === undefined) return '';
    const write = (): void => writeFileSync(join(this.#home, '.openclaw/openclaw.json'), JSON.stringify({ gateway }));
    await this.#reloaded(() => Promise.resolve(write()));
    return '';
  }

  /** The running shim has taken what was changed. */
  async #reloaded(change: () => Promise<void> | void): Promise<void> {
    const from = this.#shim?.lines().length;
    await change();
    await this.#shim?.logged(({ msg }) => msg === 'reloaded', from);
  }

  /** Each line of the page was printed, also on stderr. */
  #compare(expected: string): void {
    const printed = this.#printed;
    if (printed === undefined) return;
    const lines = printed.split('\n');
    for (const line of this.#here(expected).trimEnd().split('\n')) {
      const parts = line.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      const pattern = new RegExp(`^${parts.join('.*')}$`);
      this.#t.ok(lines.some((one) => pattern.test(one)), `${line}: ${printed}`); // prettier-ignore
    }
  }

  #configure(yaml: string): void {
    const lines = yaml.split('\n').filter((line) => /^ +(?:hosts|trustedProxies)/.test(line));
    this.#edit('/.openclaw/shim.config.yaml', (text) => text.replace(/^listen:\n/m, `listen:\n${lines.join('\n')}\n`));
  }

  /** Where it is installed: `nginx` takes the block and passes what the page says. */
  async #startProxy(block: string): Promise<void> {
    if (spawnSync('nginx', ['-v']).status !== 0) return;
    const port = await freePort();
    const folder = join(this.#home, 'nginx');
    mkdirSync(folder);
    const server = this.#here(block)
      .replace('listen 443 ssl', `listen 127.0.0.1:${port}`)
      .replaceAll(/^ *ssl_.*\n/gm, '');
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const file = join(folder, 'nginx.conf');
    writeFileSync(
      file,
      `daemon off; master_process off; pid ${folder}/pid; error_log stderr; events {} http { access_log off; ${paths.join(' ')}\n${server} }`,
    );
    const child = spawn('nginx', ['-c', file, '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
    const ended = once(child, 'close');
    this.#t.teardown(async () => {
      child.kill('SIGTERM');
      await ended;
    });
    this.#proxy = `http://127.0.0.1:${port}`;
    const up = await this.#shell(
      `curl -s -o /dev/null --retry 50 --retry-delay 0 --retry-connrefused ${this.#proxy} && echo up`,
    );
    this.#t.equal(up, 'up\n', log);
  }

  #here(text: string): string {
    const ported = text.replaceAll(/\b1878[019]\b|\b18790\b/g, (port) => String(this.#ports.get(port)));
    return ported
      .replaceAll('npx auth-shim', `"${process.execPath}" "${MAIN}"`)
      .replaceAll(/https:\/\/agents\.example(\S*?)(?=[ ;\n])/g, `-H "Host: agents.example" ${this.#proxy}$1`);
  }

  /** Whoever is asked to paste a token pastes the one that callers had at first. */
  async #shell(script: string): Promise<string> {
    const child = spawn('sh', ['-c', script], { env: { PATH: process.env.PATH, HOME: this.#home } });
    child.stdin.on('error', () => undefined).end(`${GATEWAY_SECRET}\n`);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => (text += part)); // prettier-ignore
    await once(child, 'close');
    return text;
  }

  #file(): GatewayFile {
    return JSON.parse(readFileSync(join(this.#home, '.openclaw/openclaw.json'), 'utf8')) as GatewayFile;
  }

  #edit(file: string, change: (text: string) => string): void {
    const path = this.#home + file;
    writeFileSync(path, change(readFileSync(path, 'utf8')));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The gateway's, one above it, the shim's and that of its admin listener. */
async function freePorts(): Promise<[number, number, number]> {
  while (true) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const next = createServer();
    const free = await new Promise<boolean>((resolve) => {
      next.once('error', () => resolve(false)).listen(port + 1, '127.0.0.1', () => resolve(true));
    });
    for (const one of [server, next]) one.close();
    if (free) return [port, await freePort(), await freePort()];
  }
}

async function machine(t: Test, release: Release): Promise<Machine> {
  const made = new Machine(t, release, await freePorts());
  await made.restart();
  return made;
}

/** Steps 2 and 3. */
const SET_UP = blocksOf('From a patched gateway').slice(3, 8);

void t.test('from handing out the token', async (t) => {
  await (await machine(t, '2026.3.28')).take(blocksOf("From handing out the gateway's token"));
});

void t.test('from a patched gateway', async (t) => {
  await (await machine(t, '2026.3.24')).take(blocksOf('From a patched gateway'));
});

void t.test('from nginx', async (t) => {
  const before = await machine(t, '2026.3.28');
  await before.take(SET_UP);
  await before.take(blocksOf('From nginx or Caddy'));
});

void t.test('from the pinned release', async (t) => {
  const before = await machine(t, '2026.3.24');
  await before.take(SET_UP);
  await before.take(blocksOf('From the pinned 2026.3.24'));
});

void t.test('no block is left out', (t) => {
  const all = [...PAGE.matchAll(/^ *```\w+\n/gm)].length;
  const ways = PAGE.split(/^## /m).slice(1).map((part) => blocksOf(part.slice(0, part.indexOf('\n'))).length); // prettier-ignore
  t.equal(ways.length, 4);
  t.equal(ways.reduce((sum, count) => sum + count, 0), all); // prettier-ignore
  t.end();
});
