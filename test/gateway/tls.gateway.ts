/** The token hop over the gateway's own TLS, with the certificate that it made itself. */
import t from 'tap';
import { curlCases } from './cases/curl.ts';
import { faultCases } from './cases/faults.ts';
import { pinCases } from './cases/pin.ts';
import { streamCases } from './cases/streams.ts';
import { socketCases } from './cases/websocket.ts';
import { startHop } from './hop.ts';

const MODE = 'token';
const hop = await startHop(t, MODE, { tls: true });
if (!hop?.relay) throw new Error('every release has the token hop');
await curlCases(t, hop);
await streamCases(t, hop);
await socketCases(t, MODE, hop.gateway, hop.relay);
await pinCases(t, hop);
await faultCases(t, hop);
