/** How the processes of the benchmark say where they listen: a line of JSON, as the shim does. */
import type { Server } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** @param server it is given a free port of loopback, and a backlog for thousands of connects at once */
export function listen(server: Server | TlsServer): void {
  server.listen({ host: '127.0.0.1', port: 0, backlog: 4_096 }, () => {
    const scheme = server instanceof TlsServer ? 'https' : 'http';
    const url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    process.stderr.write(`${JSON.stringify({ msg: 'listening', url })}\n`);
  });
}
