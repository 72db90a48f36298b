/** The unit of systemd: what systemd itself says of it, and whether it fits the shim's settings. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EXIT } from '../../src/commands/exit.ts';
import { hasProgram, loadSettings } from '../helpers/deployment.ts';
import { ROOT, textOf } from '../helpers/pages.ts';

const UNIT = 'deploy/systemd/auth-shim.service';
const SETTINGS = 'deploy/systemd/shim.config.yaml';
const unit = textOf(UNIT);
/** Every value of a key, in their order. */
const valuesOf = (key: string): string[] =>
  [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);
const [start = ''] = valuesOf('ExecStart');
const skip = !hasProgram('systemd-analyze') && 'NOT TESTED: no systemd-analyze here (apt-get install systemd)';

void t.test('its exposure is no more than the page says', { skip }, (t) => {
  const [, told = ''] = /a test holds it to (\d+\.\d)/.exec(textOf('docs/deploy-systemd.md')) ?? [];
  const limit = Math.round(Number(told) * 10);
  const options = ['security', '--offline=true', '--no-pager', `--threshold=${limit}`, join(ROOT, UNIT)];
  const { status, stdout, stderr } = spawnSync('systemd-analyze', options, { encoding: 'utf8' });
  t.equal(status, 0, stderr + (stdout.split('\n').at(-2) ?? ''));
  t.ok(limit > 0);
  const open = join(t.testdir(), 'auth-shim.service');
  writeFileSync(open, unit.replace(/^CapabilityBoundingSet=.*\n|^SystemCallFilter=.*\n/gm, ''));
  t.not(spawnSync('systemd-analyze', [...options.slice(0, -1), open]).status, 0, 'one that is more open is told');
  t.end();
});

void t.test('systemd knows each of its lines', { skip }, (t) => {
  const folder = t.testdir();
  const verify = (text: string): string => {
    const file = join(folder, 'auth-shim.service');
    // Where nothing is installed there is no such program.
    writeFileSync(file, text.replaceAll('/usr/local/bin/node', '/bin/true'));
    return spawnSync('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', file], { encoding: 'utf8' })
      .stderr;
  };
  const about = (text: string): string[] => text.split('\n').filter((line) => line.includes('auth-shim.service'));
  t.same(about(verify(unit)), []);
  t.match(about(verify(unit.replace('ProtectClock', 'ProtectClok'))), [/Unknown key.*'ProtectClok'/]);
  t.end();
});

void t.test('its commands are the program, installed as the page says', async (t) => {
  const page = textOf('docs/deploy-systemd.md');
  const [node = '', main = ''] = start.split(' ');
  t.equal(start, `${node} ${main} serve`);
  t.match(valuesOf('ExecStartPost'), [new RegExp(`^${node} ${main} wait --live `)]);
  const folder = main.replace('/dist/main.js', '');
  t.match(page, `sudo cp -r package.json dist docs ${folder}/`);
  t.match(page, `\`${node}\``);
  const [install = ''] = /sudo install -m 644 deploy\/systemd\/shim\.config\.yaml (\S+)/.exec(page)?.slice(1) ?? [];
  t.match(valuesOf('Environment'), [`AUTH_SHIM_CONFIG=${install}`]);
  t.same(valuesOf('Documentation'), [`file://${folder}/docs/deploy-systemd.md`]);
  t.same(valuesOf('RestartPreventExitStatus'), [`${EXIT.usage} ${EXIT.config}`]);
});

void t.test('it has what the settings name, and time for the drain', async (t) => {
  const { config } = await loadSettings(textOf(SETTINGS), SETTINGS);
  const text = textOf(SETTINGS);
  const [credential = '', file = ''] = valuesOf('LoadCredential')[0]?.split(':') ?? [];
  t.match(text, `secret: { file: /run/credentials/auth-shim.service/${credential} }`);
  t.match(textOf('docs/deploy-systemd.md'), `sudo install -m 600 /dev/stdin ${file} `);
  t.same([...text.matchAll(/\/(?:run|var\/lib)\/auth-shim\//g)].map(([path]) => path).toSorted(), [
    '/run/auth-shim/',
    '/var/lib/auth-shim/',
    '/var/lib/auth-shim/',
  ]);
  t.same([...valuesOf('RuntimeDirectory'), ...valuesOf('StateDirectory')], ['auth-shim', 'auth-shim']);
  t.ok(config.admin, 'what ExecStartPost asks');
  const [stop = ''] = valuesOf('TimeoutStopSec');
  t.ok(Number.parseInt(stop, 10) > (config.drain.delay + config.drain.timeout) / 1000 + 5);
  const taken = text
    .replace(/^ {2}host: .*\n {2}port: .*\n/m, '')
    .replaceAll(/^( *)# (socket|deviceStore|audit): (.*?)( #.*)?$/gm, '$1$2: $3');
  const { config: commented } = await loadSettings(
    taken.replace(/^(.*)socket: (.*)$/m, '$1socket: $2\n$1mode: "0666"'),
    SETTINGS,
  );
  t.match(commented.listen.address, { socket: '/run/auth-shim/shim.sock' });
  t.match(commented.audit?.target, { path: '/var/lib/auth-shim/audit.jsonl' });
});

void t.test(
  'a shim runs where it sees its own processes alone',
  { skip: process.getuid?.() !== 0 && 'only root may mount' },
  (t) => {
    t.same([valuesOf('ProcSubset'), valuesOf('ProtectProc')], [['pid'], ['invisible']]);
    const script = `mount -t proc -o subset=pid,hidepid=invisible proc /proc && exec "${process.execPath}" "${ROOT}/src/main.ts" demo`;
    const { status, stdout, stderr } = spawnSync('unshare', ['-pfm', 'sh', '-c', script], { encoding: 'utf8' });
    if (/unshare failed|mount: /.test(stderr)) t.pass(`NOT TESTED: ${stderr}`);
    else t.equal(status, 0, stdout + stderr);
    t.end();
  },
);
