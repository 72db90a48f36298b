/** The gateway of the WebSocket benchmark, a process of its own: its handshake without any check, then a task. */
import { createServer, type IncomingMessage } from 'node:http';
import { WebSocketServer, type WebSocket } from 'ws';
import { listen } from '../listen.ts';
import { FRAME_BYTES, sendFrames, type Task } from './frames.ts';

const CHALLENGE = JSON.stringify({
  type: 'event',
  event: 'connect.challenge',
  payload: { nonce: 'n'.repeat(36), ts: 1 },
});
const HELLO = {
  type: 'hello-ok',
  protocol: 3,
  auth: { role: 'operator', scopes: ['operator.read', 'operator.write'] },
};

const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });
sockets.on('connection', (ws: WebSocket, { socket }: IncomingMessage) => {
  ws.send(CHALLENGE);
  ws.once('message', (connect: Buffer) => {
    const { id } = JSON.parse(connect.toString()) as { id: string };
    ws.send(JSON.stringify({ type: 'res', id, ok: true, payload: HELLO }));
    ws.once('message', (data: Buffer) => {
      const { params } = JSON.parse(data.toString()) as { readonly params: Task };
      const { task, seconds = 0, packed = false } = params;
      if (task === 'echo') {
        ws.on('message', (frame: Buffer) => ws.send(frame, { binary: false }));
      } else if (task === 'send') {
        void sendFrames(ws, socket, seconds, packed).then((count) => ws.send(JSON.stringify({ count })));
      } else {
        let count = 0;
        ws.on('message', (frame: Buffer) => {
          if (frame.length === FRAME_BYTES) count++;
          else ws.send(JSON.stringify({ count }));
        });
      }
    });
  });
});
listen(server);
