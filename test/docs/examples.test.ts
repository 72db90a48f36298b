/** The examples of the pages and of the sample can be used as they stand there. */
import t from 'tap';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { rawConfig } from '../../src/config/schema.ts';
import { configTemplate, STANDARD_CHOICES } from '../../src/config/template.ts';
import { HEALTH_PATHS } from '../../src/server/health.ts';
import { makeAuthority } from '../helpers/certificates.ts';
import { NOW, SECRET, worldOf } from '../helpers/configuration.ts';
import { pages, textOf } from '../helpers/pages.ts';

/** The YAML blocks of the pages whose keys are those of the configuration. */
const examples = [...pages].flatMap(([name, text]) =>
  [...text.matchAll(/^( *)```yaml\n(.*?)^\1```$/gms)].flatMap(([, indent = '', block = '']) => {
    const tree = parse(block.replaceAll(new RegExp(`^${indent}`, 'gm'), '')) as Record<string, unknown>;
    return Object.keys(tree).every((key) => key in rawConfig.shape) ? [{ name, tree }] : [];
  }),
);

void t.test('examples of the configuration have its shape', async (t) => {
  t.ok(examples.length >= 6, `${examples.length}`);
  for (const { name, tree } of examples) {
    for (const [key, value] of Object.entries(tree)) {
      const shape = rawConfig.shape[key as keyof typeof rawConfig.shape];
      t.same(shape.safeParse(value).error?.issues ?? [], [], `${name}: ${key}`);
    }
  }
});

void t.test('what the sample has commented out is right where it is taken in', async (t) => {
  const all = configTemplate(STANDARD_CHOICES)
    .replace('callers: []\n', 'callers:\n')
    .replace('sha256:...', `sha256:${'b2'.repeat(32)}`)
    .replaceAll('2027-01-31', '2026-12-20')
    .replace(/^# callersFile.*\n/m, '')
    .replace('onStoreFailure: local', '#')
    .replace('url: http:', 'url: https:')
    .replaceAll(/^( *)# ?( *(?:- )?(?:[a-zA-Z]+: |\{ |[a-z]+:$))/gm, '$1$2');
  t.notMatch(all, /^ *# *[a-zA-Z]+: [^ ]/m);
  const dates = { notBefore: new Date(NOW - 1000), notAfter: new Date(NOW + 60 * 86_400_000) };
  const ca = await makeAuthority('CA', dates);
  const [server, client] = [await ca.issue(dates), await ca.issue(dates)];
  const tls = {
    'tls/ca.crt': ca.cert,
    'tls/server.crt': server.cert,
    'tls/server.key': server.key,
    'tls/client.crt': client.cert,
    'tls/client.key': client.key,
  };
  const { config } = await loadConfig(
    'f',
    worldOf({ f: all, ...tls }, { OPENCLAW_GATEWAY_TOKEN: SECRET, OPENCLAW_HOOKS_TOKEN: 'hooks-7sKd02kslA' }),
  );
  t.match(config.callers, [{ name: 'agentpage', limits: { requestsPerMinute: 120, streams: 4 } }]);
  t.ok(config.listen.tls?.client && config.gateway.tls?.cert, 'TLS on both sides');
  t.ok(config.probes && config.control && config.audit, 'the last lines as well');
});

void t.test('the Pod of the operating page fits its configuration and the image', async (t) => {
  const blocks = [...textOf('docs/operating.md').matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block = '']) => block);
  const [settings = '', pod = ''] = [
    blocks.find((one) => one.startsWith('listen:')),
    blocks.find((one) => /^kind:/m.test(one)),
  ];
  const world = worldOf({ f: settings, 'callers.yaml': 'callers: []', 'gateway-token': SECRET });
  const { config } = await loadConfig('f', world);
  const spec = (parse(pod) as { spec: PodSpec }).spec;
  const shim = spec.containers.find(({ name }) => name === 'auth-shim');
  for (const probe of [shim?.startupProbe, shim?.livenessProbe, shim?.readinessProbe]) {
    t.ok(
      HEALTH_PATHS.some((path) => path === probe?.httpGet.path),
      String(probe?.httpGet.path),
    );
    t.equal(probe?.httpGet.port, config.probes?.port);
  }
  t.match(shim?.ports, [{ containerPort: 'port' in config.listen.address ? config.listen.address.port : 0 }]);
  const drain = (config.drain.delay + config.drain.timeout) / 1000;
  const gateway = spec.containers.find(({ name }) => name === 'gateway');
  t.ok((gateway?.lifecycle?.preStop.sleep.seconds ?? 0) > drain, 'the gateway outlives the drain');
  t.ok(spec.terminationGracePeriodSeconds > drain + 5);
  const image = textOf('Dockerfile');
  const [, hook = ''] = /`(\[".*?"\])`/.exec(textOf('docs/operating.md')) ?? [];
  const [, entry = ''] = /^ENTRYPOINT (.*)$/m.exec(image) ?? [];
  t.same(JSON.parse(hook), [...(JSON.parse(entry) as string[]), 'shutdown']);
  t.match(image, `AUTH_SHIM_CONFIG=${shim?.volumeMounts[0]?.mountPath}/shim.config.yaml`);
});

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: number };
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly {
    readonly name: string;
    readonly ports?: readonly { readonly containerPort: number }[];
    readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
    readonly startupProbe?: Probe;
    readonly livenessProbe?: Probe;
    readonly readinessProbe?: Probe;
    readonly volumeMounts: readonly { readonly mountPath: string }[];
  }[];
}
