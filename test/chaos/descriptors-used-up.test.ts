/** More connections than the process has file descriptors for. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { existsSync, readdirSync } from 'node:fs';
import t from 'tap';
import { commandGateway, runShim } from '../helpers/chaos.ts';
import { ask, outcomeOf } from '../helpers/load.ts';
import { openRaw, rawExchange } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { TOKENS } from '../helpers/stack.ts';

const LIMIT = 320;
/** Many more than there are descriptors, if each had two. */
const CALLERS = 400;
const skip = !existsSync('/usr/bin/prlimit') && 'there is no prlimit';

void t.test(
  'probes and admin still answer, requests within the limit are served, and it recovers',
  { skip },
  async (t) => {
    const open = new Set<ServerResponse>();
    const gateway = await commandGateway(t, (req, res) => {
      req.resume();
      if (req.url !== '/v1/models/openclaw') return void res.end('{}');
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write('data: 1\n\n');
      open.add(res);
      res.once('close', () => open.delete(res));
    });
    const shim = await runShim(t, {
      gateway,
      more: 'probes: { host: 127.0.0.1, port: 0 }\nlimits: { connections: 5000 }',
      under: ['/usr/bin/prlimit', `--nofile=${LIMIT}:${LIMIT}`],
    });
    const probes = Number(new URL(String(shim.listening.probes)).port);
    const probe = async (path: string): Promise<number> =>
      (await rawExchange(probes, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)).status;
    t.strictSame([await probe('/livez'), await probe('/readyz')], [200, 200]);
    const warning = shim.lines().find(({ msg }) => /ulimit/.test(String(msg)));
    t.match(warning, { level: 'warn', path: 'limits.connections' });

    // Every one with a stream, so that the gateway's side takes a descriptor as well.
    const sockets: Socket[] = [];
    for (let nth = 0; nth < CALLERS; nth++) {
      const socket = connect(shim.port, '127.0.0.1').on('error', () => undefined);
      t.teardown(() => socket.destroy());
      socket.write(get('/v1/models/openclaw'));
      sockets.push(socket);
    }
    const settled = await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<string>((resolve) => {
            socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1').slice(9, 12)));
            socket.once('close', () => resolve('closed'));
          }),
      ),
    );
    const served = settled.filter((one) => one === '200').length;
    const used = readdirSync(`/proc/${shim.pid}/fd`).length;
    t.ok(served >= 32, `${served} streams are served`);
    t.equal(
      served + settled.filter((one) => one === 'closed').length,
      CALLERS,
      'the others are closed, not kept waiting',
    );
    t.equal(open.size, served);
    t.comment(`${served} of ${CALLERS} served, ${used} of ${LIMIT} descriptors used`);

    // Nearly as many at once as their listener takes.
    const health = await Promise.all(
      Array.from({ length: 30 }, () => Promise.all([probe('/livez'), probe('/readyz')])),
    );
    t.ok(
      health.flat().every((status) => status === 200),
      'probes answer',
    );
    t.equal((await fetch(`${shim.admin}/readyz`)).status, 200);
    t.equal(await shim.metric('open_streams'), served, 'admin answers');
    const late = await openRaw(t, shim.port);
    late.send(get('/v1/models'));
    t.equal(await late.closed(), '', 'one more is closed');

    for (const socket of sockets) socket.destroy();
    await Promise.all([...open].map((res) => once(res, 'close')));
    for (let i = 0; i < 20; i++) t.equal(outcomeOf(await ask(shim.port, { token: TOKENS.reader })), '200');
    t.equal(await shim.metric('open_requests'), 0);
    shim.child.kill('SIGTERM');
    t.equal(await shim.ended, 0);
  },
);
