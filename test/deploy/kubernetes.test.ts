/** The manifests keep the strictest profile of Kubernetes, and fit the shim's settings, its image and their page. */
import t from 'tap';
import { HEALTH_PATHS } from '../../src/server/health.ts';
import { imageSays, yamlOf } from '../helpers/deployment.ts';
import {
  BASE,
  config,
  containersOf,
  gateway,
  OVERLAY,
  pod,
  port,
  SETTINGS,
  shim,
  workload,
  type Container,
  type Kustomization,
  type Manifest,
  type NetworkRule,
} from '../helpers/manifests.ts';
import { textOf } from '../helpers/pages.ts';

void t.test('the pod keeps the profile "restricted", and more', (t) => {
  t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
  t.equal(pod.automountServiceAccountToken, false);
  for (const { name, securityContext } of containersOf(workload.spec)) {
    t.match(
      securityContext,
      { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      name,
    );
    t.ok((securityContext.runAsUser ?? 0) > 0, name);
  }
  for (const volume of pod.volumes) {
    t.same(
      Object.keys(volume).filter((key) => !['name', 'projected', 'configMap', 'emptyDir'].includes(key)),
      [],
    );
  }
  const namespace = yamlOf<Manifest>(`${OVERLAY}/namespace.yaml`);
  t.equal(namespace.metadata.labels?.['pod-security.kubernetes.io/enforce'], 'restricted');
  t.equal(`${shim.securityContext.runAsUser}:${shim.securityContext.runAsGroup}`, imageSays('USER'));
  t.end();
});

void t.test('the shim is a native sidecar, asked on the listener of its probes', (t) => {
  t.equal(shim.restartPolicy, 'Always');
  const ports = new Map(shim.ports?.map(({ name, containerPort }) => [name, containerPort]));
  t.same(
    [...ports],
    [
      ['https', port],
      ['probes', config.probes?.port],
    ],
  );
  const asked = [shim.startupProbe, shim.livenessProbe, shim.readinessProbe].map((probe) => probe?.httpGet);
  t.same(
    asked.map((one) => one?.port),
    ['probes', 'probes', 'probes'],
  );
  t.same(
    asked.map((one) => one?.path),
    ['/startupz', '/livez', '/readyz'],
  );
  t.ok(asked.every((one) => HEALTH_PATHS.some((path) => path === one?.path)));
  t.end();
});

void t.test('only the shim can be reached: its port, by the Service, by clients', (t) => {
  const { spec: service } = yamlOf<{ spec: { selector: object; ports: readonly { targetPort: string }[] } }>(
    `${BASE}/service.yaml`,
  );
  const { spec: rule } = yamlOf<{ spec: NetworkRule }>(`${BASE}/networkpolicy.yaml`);
  const labels = workload.spec.template.metadata.labels;
  t.same(service.selector, labels);
  t.same(
    service.ports.map(({ targetPort }) => targetPort),
    ['https'],
  );
  t.same(rule.podSelector.matchLabels, labels);
  t.same(rule.policyTypes, ['Ingress']);
  t.same(
    rule.ingress.map(({ ports }) => ports),
    [[{ protocol: 'TCP', port: 'https' }]],
  );
  const [label = []] = rule.ingress.flatMap(({ from }) =>
    from.map(({ podSelector }) => Object.entries(podSelector.matchLabels)[0]),
  );
  t.match(textOf('docs/deploy-kubernetes.md'), `\`${label[0]}: "${label[1]}"\``);
  t.equal(gateway.ports, undefined);
  const settings = JSON.parse(textOf(`${OVERLAY}/openclaw.json`)) as {
    gateway: { bind: string; port: number; auth: { mode: string } };
  };
  t.equal(settings.gateway.bind, 'loopback');
  t.equal(config.gateway.origin, `http://127.0.0.1:${settings.gateway.port}`);
  t.equal(config.gateway.auth.mode, settings.gateway.auth.mode);
  t.equal(port, Number(imageSays('EXPOSE')));
  t.ok(config.listen.tls, 'what leaves the pod is encrypted');
  t.end();
});

void t.test('everything that a file names is mounted there', (t) => {
  const at = (container: Container): Map<string, string> =>
    new Map(container.volumeMounts.map(({ name, mountPath }) => [name, mountPath]));
  const known = new Set(
    [...pod.volumes, ...workload.spec.volumeClaimTemplates.map(({ metadata }) => metadata)].map(({ name }) => name),
  );
  for (const one of containersOf(workload.spec)) for (const name of at(one).keys()) t.ok(known.has(name), name);
  t.match(imageSays('ENV'), `AUTH_SHIM_CONFIG=${at(shim).get('auth-shim')}/shim.config.yaml`);
  t.equal(config.control?.socket, `${at(shim).get('run')}/control.sock`);
  t.same(
    config.gateway.deviceStore,
    { folder: `${at(shim).get('devices')}/devices` },
    'within the volume, not its root',
  );
  t.equal(
    `${at(gateway).get('openclaw')}/openclaw.json`,
    gateway.env?.find(({ name }) => name === 'OPENCLAW_CONFIG_PATH')?.value,
  );
  const kustomization = yamlOf<Kustomization>(`${OVERLAY}/kustomization.yaml`);
  const generated = new Map(
    [...kustomization.configMapGenerator, ...kustomization.secretGenerator].map(({ name, files }) => [name, files]),
  );
  t.same(generated.get('auth-shim'), ['shim.config.yaml']);
  t.same(generated.get('auth-shim-callers'), ['callers.yaml']);
  t.same(generated.get('openclaw'), ['openclaw.json']);
  t.equal(kustomization.generatorOptions.disableNameSuffixHash, true, 'a change must not roll out a new pod');
  const tls = JSON.stringify(pod.volumes.find(({ name }) => name === 'auth-shim'));
  for (const path of [/cert: ([^, ]+)/, /key: ([^, ]+) \}/].map((of) => of.exec(textOf(SETTINGS))?.[1]))
    t.match(tls, `"path":"${path}"`);
  t.end();
});

void t.test('secrets are references, and the page makes those that no file has', (t) => {
  const page = textOf('docs/deploy-kubernetes.md');
  const variable = 'OPENCLAW_GATEWAY_TOKEN';
  const [ours, theirs] = [shim, gateway].map(
    ({ env }) => env?.find(({ name }) => name === variable)?.valueFrom?.secretKeyRef,
  );
  t.same(ours, theirs);
  t.match(page, `create secret generic ${ours?.name} --from-literal=${ours?.key}=`);
  t.match(textOf(SETTINGS), `env: ${variable}`);
  t.match(page, 'create secret tls auth-shim-tls ');
  t.match(textOf(`${OVERLAY}/callers.yaml`), /^callers: \[\]$/m);
  t.end();
});

void t.test('the pod ends in the order in which its requests need it', (t) => {
  const drain = (config.drain.delay + config.drain.timeout) / 1000;
  const hook = shim.lifecycle.preStop.exec?.command ?? [];
  t.same(hook.slice(0, -2), [...(JSON.parse(imageSays('ENTRYPOINT')) as string[]), 'shutdown']);
  const patience = Number.parseInt(hook.at(-1) ?? '', 10);
  const sleep = gateway.lifecycle.preStop.sleep?.seconds ?? 0;
  t.equal(hook.at(-2), '--timeout');
  t.ok(patience > drain && sleep > drain, `${patience} s and ${sleep} s are more than ${drain} s`);
  t.ok(pod.terminationGracePeriodSeconds > Math.max(patience, sleep) + 30);
  const budget = yamlOf<{ spec: object }>(`${BASE}/poddisruptionbudget.yaml`).spec;
  t.match(budget, { maxUnavailable: 0, unhealthyPodEvictionPolicy: 'AlwaysAllow' });
  t.equal(workload.spec.replicas, 1);
  t.end();
});

void t.test('the settings of the gateway are the same in both places', (t) => {
  const read = (name: string): unknown => JSON.parse(textOf(name));
  t.same(read(`${OVERLAY}/openclaw.json`), read('deploy/compose/openclaw/openclaw.json'));
  t.end();
});
