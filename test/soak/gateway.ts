/** The gateway of the soak as a program: the stand-in, and one route whose answer is larger than what the kernel keeps. */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { startGateway, type StandInOptions } from '../../src/demo/gateway.ts';

const [options, port] = JSON.parse(process.argv[2] ?? '') as [StandInOptions, number];
const FLOOD = 'GET /sessions/flood/history';
const PIECE = Buffer.alloc(64 * 1024, 'x');
const PIECES = 256;

const behind = await startGateway(options);
const server = createServer((socket) => {
  const to = connect(behind.port, '127.0.0.1');
  let floods = false;
  socket.on('data', (chunk) => {
    // undici writes a head at once, and never a second request before the answer.
    if (floods) return;
    floods = chunk.toString('latin1', 0, FLOOD.length) === FLOOD;
    if (floods) flood(socket);
    else to.write(chunk);
  });
  to.pipe(socket);
  socket.on('close', () => to.destroy()).on('error', () => to.destroy());
  to.on('close', () => floods || socket.destroy()).on('error', () => socket.destroy());
});
server.listen(port, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));

function flood(socket: Socket): void {
  const length = PIECE.length * PIECES;
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`);
  Readable.from(Array.from({ length: PIECES }, () => PIECE)).pipe(socket);
}
