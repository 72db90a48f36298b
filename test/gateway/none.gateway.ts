/** Mode `none`, against a real gateway: there a missing header can be full power. */
import t from 'tap';
import { contract, writerOf } from './cases/contract.ts';
import { nodeClientCases } from './cases/node-client.ts';
import { restartCase, socketCases } from './cases/websocket.ts';
import { startGateway } from './gateway.ts';
import { relayBefore } from './relay.ts';
import { VERSION } from './version.ts';

const MODE = 'none';
const gateway = await startGateway({ version: VERSION, auth: { mode: MODE } });
t.teardown(() => gateway.stop());
const relay = await relayBefore(t, gateway, MODE);
await contract(t, MODE, gateway.url, writerOf(MODE));
await socketCases(t, MODE, gateway, relay);
await nodeClientCases(t, MODE, gateway);
await restartCase(t, MODE, gateway);
