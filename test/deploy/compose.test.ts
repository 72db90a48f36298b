/** The files of Docker Compose fit one another, the image and the gateway. No engine is needed, and none is asked. */
import t from 'tap';
import { imageSays, loadSettings, yamlOf } from '../helpers/deployment.ts';
import { textOf } from '../helpers/pages.ts';

interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly command?: readonly string[];
  readonly ports?: readonly string[];
  readonly network_mode?: string;
  readonly depends_on?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
  readonly environment?: Record<string, string>;
  readonly volumes?: readonly string[];
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } };
}

const FILE = 'deploy/compose/auth-shim/shim.config.yaml';
const { services } = yamlOf<{ services: Record<'network' | 'gateway' | 'auth-shim', Service> }>(
  'deploy/compose/compose.yaml',
);
const { network, gateway, 'auth-shim': shim } = services;
const { config } = await loadSettings(textOf(FILE), FILE);
const port = 'port' in config.listen.address ? config.listen.address.port : 0;

void t.test('one network namespace, of which the shim alone is published, on loopback', (t) => {
  t.same(Object.keys(services), ['network', 'gateway', 'auth-shim']);
  t.same([gateway.network_mode, shim.network_mode], ['service:network', 'service:network']);
  t.same(network.ports, [`127.0.0.1:${port}:${port}`]);
  t.same([gateway.ports, shim.ports], [undefined, undefined]);
  t.equal(imageSays('EXPOSE'), String(port));
  const address = config.listen.address as { readonly host: string };
  t.equal(address.host, '0.0.0.0', 'a published port does not come to the loopback of the namespace');
  for (const alias of network.networks?.default.aliases ?? []) t.ok(config.listen.hosts.has(alias), alias);
  t.end();
});

void t.test('the gateway is on loopback where the shim looks for it, with the same secret', (t) => {
  const settings = JSON.parse(textOf('deploy/compose/openclaw/openclaw.json')) as {
    readonly gateway: { readonly bind: string; readonly port: number; readonly auth: { readonly mode: string } };
  };
  t.equal(settings.gateway.bind, 'loopback');
  t.equal(config.gateway.origin, `http://127.0.0.1:${settings.gateway.port}`);
  t.equal(config.gateway.auth.mode, settings.gateway.auth.mode);
  const variable = 'OPENCLAW_GATEWAY_TOKEN';
  t.equal(shim.environment?.[variable], gateway.environment?.[variable]);
  t.match(textOf(FILE), `env: ${variable}`);
  t.ok(gateway.volumes?.some((one) => one.startsWith('./openclaw:') && one.endsWith(':ro')));
  t.equal(`${gateway.volumes?.[0]?.split(':')[1]}/openclaw.json`, gateway.environment?.OPENCLAW_CONFIG_PATH);
  t.end();
});

void t.test('the shim finds its settings, is confined, and ends before the gateway', (t) => {
  const [, folder = ''] = /^\.\/auth-shim:(.*):ro$/.exec(shim.volumes?.[0] ?? '') ?? [];
  t.match(imageSays('ENV'), `AUTH_SHIM_CONFIG=${folder}/shim.config.yaml`);
  t.ok(config.admin, 'what the health check of the image asks');
  for (const one of [network, shim]) {
    t.match(one, { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
  }
  t.ok(shim.depends_on?.includes('gateway'));
  t.ok(Number.parseInt(shim.stop_grace_period ?? '', 10) > (config.drain.delay + config.drain.timeout) / 1000 + 5);
  t.end();
});
