/** The clients of docs/clients.md, through a shim, before a real gateway. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { clientCases } from '../helpers/clients.ts';
import { startGateway } from './gateway.ts';
import { REPLY } from './hop.ts';
import { RELAYED, relayBefore } from './relay.ts';
import { since, VERSION } from './version.ts';

const MODE = 'token';
const workspace = await mkdtemp(join(tmpdir(), 'auth-shim-clients-'));
t.teardown(() => rm(workspace, { recursive: true, force: true }));
// One agent, as most gateways have: it need not be named.
const agents = { defaults: { workspace, model: { primary: 'stub/stub' }, models: { 'stub/stub': {} } } };
const gateway = await startGateway({ version: VERSION, auth: { mode: MODE }, config: { agents } });
t.teardown(() => gateway.stop());
const { url } = await relayBefore(t, gateway, MODE);
await clientCases(t, {
  url,
  reader: RELAYED.reader,
  writer: RELAYED.writer,
  reply: REPLY,
  finishes: since('2026.5.28'),
});
