/** The pages of deployment: settings that load, files that are there, what they say in figures. */
import t from 'tap';
import { rawConfig } from '../../src/config/schema.ts';
import { blocksOf, loadSettings, yamlOf } from '../helpers/deployment.ts';
import { pages, section, textOf } from '../helpers/pages.ts';

const own = [...pages.keys()].filter((name) => /^docs\/(deploy-.*|scaling)\.md$/.test(name));
const isSettings = (block: object): boolean => Object.keys(block).every((key) => key in rawConfig.shape);
const GATEWAY = { url: 'http://127.0.0.1:18789', auth: { mode: 'none' } };

void t.test('settings of the pages load', async (t) => {
  t.equal(own.length, 8);
  for (const name of own) {
    const blocks = blocksOf(name).filter(isSettings);
    t.ok(blocks.length > 0, name);
    for (const block of blocks) {
      const { config } = await loadSettings(JSON.stringify({ gateway: GATEWAY, ...block }));
      t.ok(config.gateway.origin, name);
    }
  }
});

void t.test('settings of a page are those of its file', async (t) => {
  for (const [page, file] of [
    ['docs/deploy-compose.md', 'deploy/compose/auth-shim/shim.config.yaml'],
    ['docs/deploy-kubernetes.md', 'deploy/kubernetes/overlays/example/shim.config.yaml'],
    ['docs/deploy-systemd.md', 'deploy/systemd/shim.config.yaml'],
    ['docs/deploy-tailscale.md', 'deploy/tailscale/shim.config.yaml'],
  ] as const) {
    const [block = {}] = blocksOf(page).filter(isSettings);
    t.match(yamlOf(file), block, page);
    await t.resolves(loadSettings(textOf(file), file), file);
  }
});

void t.test('no block of Compose leaves the folder that the one before it went to', (t) => {
  const shell = [...textOf('docs/deploy-compose.md').matchAll(/^```sh\n([^]*?)^```/gm)].map(([, text = '']) => text);
  t.equal(shell.filter((text) => /^cd /m.test(text)).length, 1);
  t.notMatch(shell.join(''), 'cat deploy/compose/');
  t.end();
});

void t.test('a token goes into a file that others cannot read', (t) => {
  for (const name of own) {
    const blocks = [...textOf(name).matchAll(/^```sh\n([^]*?)^```/gm)].map(([, text = '']) => text);
    for (const text of blocks.filter((one) => /token new[^]*> \S+\.token/.test(one))) t.match(text, 'umask 077', name);
  }
  t.match(textOf('docs/deploy-systemd.md'), '${OPENCLAW_GATEWAY_TOKEN:?', 'an empty secret is not installed');
  t.match(yamlOf('deploy/compose/compose.yaml'), { services: { gateway: { stop_grace_period: '330s' } } });
  t.end();
});

void t.test('ports and folders are the same everywhere', async (t) => {
  const image = textOf('Dockerfile');
  for (const name of own) {
    const text = textOf(name);
    for (const [port = ''] of text.matchAll(/\b187\d\d\b/g))
      t.ok(['18780', '18781', '18782', '18789'].includes(port), name);
    for (const [path = ''] of text.matchAll(/(?<=\/usr\/local\/bin\/node )\/app\/\S+/g)) {
      t.ok(image.includes(path.replace(/\/main\.js$/, '')) && image.includes(path), `${name}: ${path}`);
    }
    for (const [, file = ''] of text.matchAll(/(?<![\w./])(deploy\/[a-z]+\/[\w./-]+)/g)) {
      if (file.includes('/mine') || file.endsWith('.token')) continue;
      t.doesNotThrow(() => textOf(file.replace(/\/example$/, '/example/kustomization.yaml')), `${name}: ${file}`);
    }
  }
});

void t.test('the page of Cloudflare has the file, and its host', (t) => {
  const [block, ...rest] = blocksOf('docs/deploy-cloudflare.md').filter((one) => 'ingress' in one);
  const file = yamlOf<{ ingress: readonly Rule[] }>('deploy/cloudflared/config.yml');
  t.same(block, file);
  const [settings] = blocksOf('docs/deploy-cloudflare.md').filter(isSettings);
  for (const { ingress } of [file, ...(rest as { ingress: readonly Rule[] }[])]) {
    t.same(ingress.at(-1), { service: 'http_status:404' }, 'the last rule takes the rest');
    for (const { hostname, service, originRequest } of ingress.slice(0, -1)) {
      t.match(settings, { listen: { hosts: [hostname] } });
      t.equal(originRequest?.httpHostHeader, hostname);
      t.equal(URL.parse(service)?.port, '18780');
      t.equal(originRequest?.originServerName !== undefined, service.startsWith('https:'));
      t.notOk(originRequest?.noTLSVerify);
    }
  }
  t.end();
});

interface Rule {
  readonly hostname?: string;
  readonly service: string;
  readonly originRequest?: {
    readonly httpHostHeader?: string;
    readonly originServerName?: string;
    readonly noTLSVerify?: boolean;
  };
}

void t.test('figures of the scaling page stand on the page of what was measured', (t) => {
  const measured = textOf('docs/performance.md').replaceAll(/\s+/g, ' ');
  const figures = [...section(textOf('docs/scaling.md'), 'Do you need it?').matchAll(/^\| (.*) \|$/gm)].slice(2);
  t.equal(figures.length, 5);
  for (const [, row = ''] of figures) {
    const [what = '', seen = ''] = row.split(' | ').map((cell) => cell.trim());
    t.ok(measured.includes(seen), `${what}: ${seen}`);
  }
  for (const one of ['2,000 of 2,000 open streams without error', '9,904 idle sockets', '332 MB open'])
    t.ok(measured.includes(one), one);
  const [micros, bytes] = [355, 43.2];
  const page = textOf('docs/scaling.md');
  t.match(page, `${(micros * 1000) / 1e6} of a core`);
  t.match(page, `${(bytes * 2000) / 1000} MB`);
  t.end();
});
