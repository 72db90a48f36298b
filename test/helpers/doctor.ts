/** The doctor, asked in this process. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { parseConfig } from '../../src/config/load.ts';
import { startGateway, type StandInGateway, type StandInOptions } from '../../src/demo/gateway.ts';
import type { DoctorWorld } from '../../src/doctor/ask.ts';
import { examine, type Examined } from '../../src/doctor/examine.ts';
import type { Found, FindingId, Severity } from '../../src/doctor/finding.ts';
import { caller, GATEWAY_SECRET, TOKENS } from './stack.ts';

export const TOKEN_AUTH = '{ mode: token, secret: { env: SECRET } }';
export const ONE_CALLER = `callers:\n${caller('writer', TOKENS.writer, ['operator.read', 'operator.write'])}`;

export interface Patient extends Partial<DoctorWorld> {
  readonly url: string;
  /** `gateway.auth` */
  readonly auth?: string;
  /** What else `gateway` has. */
  readonly gateway?: string;
  /** Whole sections; one caller unless told otherwise. */
  readonly more?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly chat?: boolean;
}

export interface Diagnosis extends Examined {
  /** Ids in their order, those of things that hold left out. */
  readonly ids: readonly FindingId[];
  /** @returns the finding, which must be there once */
  one(id: FindingId): Found;
  has(id: FindingId): boolean;
}

/** @returns what the doctor finds; no address is the machine's own unless told otherwise */
export async function diagnose(patient: Patient): Promise<Diagnosis> {
  const { url, auth = TOKEN_AUTH, gateway = '', more = ONE_CALLER, files = {}, chat = false, ...rest } = patient;
  const text = [`gateway: { url: "${url}", auth: ${auth}${gateway && `, ${gateway}`} }`, more].join('\n');
  const env = { SECRET: GATEWAY_SECRET };
  const now = rest.now ?? Date.now;
  const world = { readFile: (path: string) => files[path] ?? '', env, home: '/nowhere', now: now() };
  const loaded = await parseConfig('shim.config.yaml', text, world);
  const seen = await examine(
    loaded,
    { file: 'shim.config.yaml', chat },
    { cwd: '/', addresses: () => [], limit: 3_000, ...rest, now },
  );
  const all = (id: FindingId): readonly Found[] => seen.findings.filter((one) => one.id === id);
  return {
    ...seen,
    ids: seen.findings.filter(({ severity }) => severity !== 'ok').map(({ id }) => id),
    has: (id) => all(id).length > 0,
    one: (id) => {
      const [first, ...others] = all(id);
      if (!first || others.length > 0) {
        throw new Error(`${id}: ${others.length + (first ? 1 : 0)} times in ${JSON.stringify(seen.findings)}`);
      }
      return first;
    },
  };
}

/** @returns a stand-in that ends with the test, in mode `token` unless told otherwise */
export async function standIn(t: Test, options: Partial<StandInOptions> = {}): Promise<StandInGateway> {
  const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET }, ...options });
  t.teardown(() => gateway.close());
  return gateway;
}

/** @returns the URL of a server that ends with the test, with every connection */
export async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** As a gateway in health; everything else by the listener. */
export function living(listener: RequestListener): RequestListener {
  return (req, res) => {
    if (req.url === '/health') return void res.setHeader('content-type', 'application/json').end(LIVE);
    listener(req, res);
  };
}

export const LIVE = '{"ok":true,"status":"live"}';

/** Asserts a finding: how grave it is, and the lines of each file that it names, as they are to be written. */
export function assertFound(
  t: Test,
  seen: Diagnosis,
  id: FindingId,
  severity: Severity,
  changes: readonly (readonly [file: string, ...lines: readonly string[]])[] = [],
): void {
  const finding = seen.one(id);
  t.equal(finding.severity, severity, `${id} is ${severity}`);
  t.same(
    finding.changes.map(({ file, lines }) => [file, ...lines]),
    changes,
    `what to change for ${id}`,
  );
}
