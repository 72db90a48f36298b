/** CPU per request. Proxies take turns round by round, so that a noisy machine is noisy for all of them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeAuthority } from '../test/helpers/certificates.ts';
import { makeKey, publicOf, signJwt } from '../test/helpers/provider.ts';
import { applyLoad, type Load } from './load.ts';
import type { Measured } from './process.ts';
import * as sides from './proxies.ts';
import type { HopFiles, Proxy } from './proxies.ts';
import { Rows, type Plan, type Row } from './rows.ts';

const QUESTION = { model: 'openclaw/default', messages: [{ role: 'user', content: 'Say hello.' }] };
const ISSUER = 'https://id.example';

interface Kind extends Omit<Load, 'body' | 'seconds' | 'token'> {
  readonly name: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly token?: string;
  /** Events of a stream: streams are counted by them at the gateway, since a load that ends by the clock cuts some. */
  readonly events?: number;
  /** Over mutual TLS, or with the JWT of an issuer; else plain. */
  readonly by?: 'tls' | 'jwt';
  /** All that can do it, without this. */
  readonly only?: readonly Proxy[];
}

const { CHECKING, PROXIES, TOKEN } = sides;
const STREAM = { body: { ...QUESTION, stream: true }, connections: 16, events: 200 };
const KINDS: readonly Kind[] = [
  { name: 'small POST, 32 connections', connections: 32 },
  { name: 'small POST, 1 connection', connections: 1 },
  { name: 'small POST, 256 connections', connections: 256 },
  { name: 'small POST, mTLS hop', connections: 32, by: 'tls' },
  { name: 'small POST, JWT', connections: 32, by: 'jwt', only: ['shim'] },
  { name: 'refused: wrong token', connections: 32, token: 'wrong', refused: true, only: CHECKING },
  { name: 'refused: route not exposed', connections: 32, path: '/other', refused: true, only: ['shim'] },
  { name: '1 MB POST', connections: 8, pad: 1_000_000 },
  { name: 'SSE, 200 chunks at once', ...STREAM, body: { ...STREAM.body, pace: -1 } },
  { name: 'SSE, 200 chunks one by one', ...STREAM },
  { name: 'SSE, 200 chunks 2 ms apart', ...STREAM, body: { ...STREAM.body, pace: 2 } },
];

interface Stage {
  readonly gateway: Measured;
  readonly plain: ReadonlyMap<Proxy, Measured>;
  readonly tls: ReadonlyMap<Proxy, Measured>;
  readonly jwt: ReadonlyMap<Proxy, Measured>;
  readonly jwtToken: string;
}

/**
 * @param folder for logs and configurations
 * @param plan how long
 * @returns CPU of the proxy's process in microseconds per request, a row a kind of load
 */
export async function measureCpu(folder: string, { rounds, seconds }: Plan): Promise<Row[]> {
  const started: Measured[] = [];
  const keep = async (starting: Promise<Measured>): Promise<Measured> => {
    const one = await starting;
    started.push(one);
    return one;
  };
  try {
    const stage = await setUp(folder, keep);
    for (const name of CHECKING) await sides.assertJob(name, stage.plain.get(name)?.url as string, stage.gateway.url);
    const rows = new Rows();
    // Compiled code is measured, not the compiler: the first loads and the first round are not counted.
    for (const name of PROXIES) await perRequest(stage, { ...(KINDS[0] as Kind), connections: 16 }, name, 3 * seconds);
    for (let round = -1; round < rounds; round++) {
      for (const kind of KINDS) {
        for (const name of kind.only ?? PROXIES) {
          const micros = await named(`${kind.name}, ${name}`, perRequest(stage, kind, name, seconds));
          if (round >= 0) rows.add(kind.name, 'µs CPU', name, micros);
        }
      }
    }
    return rows.all();
  } finally {
    await Promise.all(started.map((one) => one.stop()));
  }
}

async function perRequest(stage: Stage, kind: Kind, name: Proxy, seconds: number): Promise<number> {
  const proxy = stage[kind.by ?? 'plain'].get(name) as Measured;
  const before = await sent(stage.gateway);
  const used = proxy.cpuMicros();
  const { requests } = await applyLoad(proxy.url, {
    ...kind,
    body: JSON.stringify(kind.body ?? QUESTION),
    token: kind.token ?? (kind.by === 'jwt' ? stage.jwtToken : TOKEN),
    seconds,
  });
  const cpu = proxy.cpuMicros() - used;
  if (kind.events === undefined) return cpu / requests;
  return (cpu * kind.events) / ((await sent(stage.gateway)) - before);
}

/** The same with what was being measured, where it fails. */
async function named<T>(what: string, doing: Promise<T>): Promise<T> {
  try {
    return await doing;
  } catch (error) {
    throw new Error(what, { cause: error });
  }
}

async function sent({ url }: Measured): Promise<number> {
  return ((await (await fetch(url)).json()) as { events: number }).events;
}

type Keep = (starting: Promise<Measured>) => Promise<Measured>;

async function setUp(folder: string, keep: Keep): Promise<Stage> {
  const gateway = await keep(sides.startGateway(folder));
  const { hop, server } = await makeHop(folder);
  const secured = await keep(sides.startGateway(folder, server));
  const plain = new Map<Proxy, Measured>();
  const tls = new Map<Proxy, Measured>();
  for (const name of PROXIES) {
    plain.set(name, await keep(sides.startProxy(name, gateway.url, folder)));
    tls.set(name, await keep(sides.startProxy(name, secured.url, folder, hop)));
  }
  const { more, token } = await makeIssuer(folder);
  const issued = sides.startShim('shim-jwt', sides.configuration(gateway.url, { more }), folder);
  return { gateway, plain, tls, jwt: new Map([['shim' as const, await keep(issued)]]), jwtToken: token };
}

/** @returns what the proxies show, and the arguments of the gateway */
async function makeHop(folder: string): Promise<{ hop: HopFiles; server: readonly string[] }> {
  const ca = await makeAuthority();
  const server = await ca.issue({ ips: ['127.0.0.1'], dns: ['gateway.bench'], usage: ['serverAuth'] });
  const client = await ca.issue({ usage: ['clientAuth'] });
  const write = (name: string, text: string): string => {
    const path = join(folder, `${name}.pem`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const authority = write('ca', ca.cert);
  return {
    hop: { ca: authority, cert: write('client', client.cert), key: write('client-key', client.key) },
    server: [write('server', server.cert), write('server-key', server.key), authority],
  };
}

/** @returns the keys of the configuration that trust it, and a token of it */
async function makeIssuer(folder: string): Promise<{ more: string; token: string }> {
  const key = await makeKey('bench');
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [publicOf(key)] }));
  const now = Math.floor(Date.now() / 1_000);
  const claims = { iss: ISSUER, aud: 'bench', sub: 'bench', scope: 'run', iat: now, exp: now + 7_200 };
  const more = `issuers:
  - name: bench
    issuer: ${ISSUER}
    audience: bench
    jwksFile: jwks.json
    scopes: { claim: scope, map: { run: [operator.write] }, ceiling: [operator.write] }
`;
  return { more, token: await signJwt(key, claims) };
}
