/** Everything that the trusted-proxy hop promises, against a real gateway. */
import t from 'tap';
import { approvalCases } from './cases/approval.ts';
import { contract, writerOf } from './cases/contract.ts';
import { curlCases } from './cases/curl.ts';
import { faultCases } from './cases/faults.ts';
import { nodeClientCases } from './cases/node-client.ts';
import { sdkCases } from './cases/sdk.ts';
import { sessionCases } from './cases/sessions.ts';
import { streamCases } from './cases/streams.ts';
import { toolCases } from './cases/tools.ts';
import { socketCases } from './cases/websocket.ts';
import { startHop } from './hop.ts';

const MODE = 'trusted-proxy';
const hop = await startHop(t, MODE);
if (!hop) {
  t.plan(0, 'this release does not believe a proxy on loopback');
} else {
  await contract(t, MODE, hop.gateway.url, writerOf(MODE));
  await curlCases(t, hop);
  await sdkCases(t, hop);
  await toolCases(t, hop);
  await sessionCases(t, hop);
  await streamCases(t, hop);
  if (hop.relay) {
    await socketCases(t, MODE, hop.gateway, hop.relay);
    await nodeClientCases(t, MODE, hop.gateway);
  }
  await approvalCases(t, hop.gateway);
  await faultCases(t, hop);
}
