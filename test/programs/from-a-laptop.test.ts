/** The commands of the page for laptops, with a real sshd of the test's own. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listening } from '../helpers/balancers.ts';
import { textOf } from '../helpers/pages.ts';
import { freePort } from '../helpers/redis.ts';
import { bearer, startStack, TOKENS } from '../helpers/stack.ts';

const SSHD = '/usr/sbin/sshd';
const PAGE = textOf('docs/deploy-laptop.md');
const [overTcp = '', overSocket = ''] = [...PAGE.matchAll(/^ssh (-N .*) gateway-host$/gm)].map(([, words]) => words);
const [, permission = ''] = /^ *(restrict,\S+) ssh-ed25519/m.exec(PAGE) ?? [];

/** What sshd insists on where root starts it. */
const PRIVILEGES = '/run/sshd';

interface Host {
  /** Runs a command of the page; settles when the forwarded port answers. */
  readonly forward: (words: string, key: 'own' | 'restricted') => Promise<void>;
}

async function startHost(t: Test, folder: string, permitted: string): Promise<Host> {
  const port = await freePort();
  for (const name of ['host', 'own', 'restricted']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
  }
  const read = (name: string): string => readFileSync(join(folder, `${name}.pub`), 'utf8');
  writeFileSync(join(folder, 'authorized_keys'), `${read('own')}${permitted} ${read('restricted')}`);
  const settings = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${folder}/host`,
    `AuthorizedKeysFile ${folder}/authorized_keys`,
    'StrictModes no',
    'UsePAM no',
    'PidFile none',
  ];
  writeFileSync(join(folder, 'sshd_config'), settings.join('\n'));
  const client = ['Host gateway-host', 'HostName 127.0.0.1', `Port ${port}`, `User ${userInfo().username}`];
  const more = ['IdentitiesOnly yes', 'StrictHostKeyChecking no', 'UserKnownHostsFile /dev/null', 'LogLevel ERROR'];
  writeFileSync(join(folder, 'ssh_config'), [...client, ...more].join('\n  '));
  if (process.getuid?.() === 0 && !existsSync(PRIVILEGES)) {
    mkdirSync(PRIVILEGES, { mode: 0o755 });
    t.teardown(() => rmdirSync(PRIVILEGES));
  }
  await listening(t, spawn(SSHD, ['-D', '-e', '-f', join(folder, 'sshd_config')]), port);
  return {
    forward: (words, key) => {
      const [, here = ''] = /-L 127\.0\.0\.1:(\d+):/.exec(words) ?? [];
      const args = ['-F', join(folder, 'ssh_config'), '-i', join(folder, key), ...words.split(' '), 'gateway-host'];
      return listening(t, spawn('ssh', args), Number(here));
    },
  };
}

/** Paths of sockets are short. */
function shortFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'auth-shim-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

const skip = !existsSync(SSHD) && 'NOT TESTED: no sshd here (apt-get install openssh-server)';

void t.test('over SSH to the port, by a key that is for the shim alone', { skip }, async (t) => {
  const stack = await startStack(t);
  const host = await startHost(t, shortFolder(t), permission.replace('18780', String(stack.port)));
  const here = await freePort();
  const words = overTcp.replace('127.0.0.1:18780:127.0.0.1:18780', `127.0.0.1:${here}:127.0.0.1:${stack.port}`);
  await host.forward(words, 'restricted');
  const line = stack.nextLine();
  const stream = await fetch(`http://127.0.0.1:${here}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...bearer(TOKENS.writer), 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'openclaw', stream: true, messages: [{ role: 'user', content: 'hi' }] }),
  });
  t.match(await stream.text(), /data: \[DONE\]\n\n$/);
  t.match(await line, { caller: 'writer', peer: '127.0.0.1', status: 200 });

  const round = await freePort();
  await host.forward(`-N -L 127.0.0.1:${round}:127.0.0.1:${stack.gateway.port}`, 'restricted');
  await t.rejects(fetch(`http://127.0.0.1:${round}/healthz`), 'the gateway itself is not permitted');
});

void t.test('over SSH to the socket', { skip }, async (t) => {
  const folder = shortFolder(t);
  const socket = join(folder, 'shim.sock');
  const stack = await startStack(t, { listen: `{ socket: ${socket}, mode: "0660" }` });
  const host = await startHost(t, folder, permission);
  const here = await freePort();
  t.match(overSocket, '127.0.0.1:18780:/run/auth-shim/shim.sock');
  await host.forward(overSocket.replace('18780:/run/auth-shim/shim.sock', `${here}:${socket}`), 'own');
  const line = stack.nextLine();
  const res = await fetch(`http://127.0.0.1:${here}/v1/models`, { headers: bearer(TOKENS.reader) });
  t.equal(res.status, 200);
  t.equal((await line).peer, undefined, 'who comes by a socket has no address');
});

void t.test('the files say what the page says', { skip }, async (t) => {
  const said = execFileSync('ssh', ['-G', '-F', join(import.meta.dirname, '../../deploy/ssh/config'), 'openclaw-shim']);
  const lines = said.toString().split('\n');
  for (const line of [
    'hostname gateway-host',
    'localforward [127.0.0.1]:18780 [127.0.0.1]:18780',
    'exitonforwardfailure yes',
    'serveraliveinterval 30',
  ]) {
    t.ok(lines.includes(line), line);
  }
  t.match(overTcp, /^-N -o ExitOnForwardFailure=yes -o ServerAliveInterval=30 -L 127.0.0.1:18780:127.0.0.1:18780$/);
  t.match(textOf('deploy/ssh/authorized_keys'), `${permission} ssh-ed25519 `);
});
