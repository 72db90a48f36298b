/** The clients of docs/clients.md, through a shim, before a real gateway. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { clientCases } from '../helpers/clients.ts';
import { CALLERS, REPLY, shimBefore } from './hop.ts';
import { startGateway } from './gateway.ts';
import { since, VERSION } from './version.ts';

const MODE = 'token';
const workspace = await mkdtemp(join(tmpdir(), 'auth-shim-clients-'));
t.teardown(() => rm(workspace, { recursive: true, force: true }));
// One agent, as most gateways have: it need not be named.
const agents = { defaults: { workspace, model: { primary: 'stub/stub' }, models: { 'stub/stub': {} } } };
const gateway = await startGateway({ version: VERSION, auth: { mode: MODE }, config: { agents } });
t.teardown(() => gateway.stop());
const { url } = await shimBefore(t, gateway, MODE);
await clientCases(t, {
  url,
  reader: CALLERS.reader,
  writer: CALLERS.writer,
  reply: REPLY,
  finishes: since('2026.5.28'),
});
