/** The manifests are what Kubernetes takes, by its schemas, its types and kubectl. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as apps from 'kubernetes-models/apps/v1';
import * as networking from 'kubernetes-models/networking.k8s.io/v1';
import * as policy from 'kubernetes-models/policy/v1';
import * as core from 'kubernetes-models/v1';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { hasProgram } from '../helpers/deployment.ts';
import { BASE, containersOf, OVERLAY, pod, workload, type Manifest } from '../helpers/manifests.ts';
import { ROOT, textOf } from '../helpers/pages.ts';

const MODELS = {
  v1: core,
  'apps/v1': apps,
  'networking.k8s.io/v1': networking,
  'policy/v1': policy,
} as unknown as Record<string, Record<string, new (data: object) => { validate: () => void }>>;

/** Those of kubectl 1.20 and before do not know a folder as a resource. */
function kustomizes(): boolean {
  if (!hasProgram('kubectl')) return false;
  const text = execFileSync('kubectl', ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  const { clientVersion } = JSON.parse(text) as { readonly clientVersion: { readonly minor: string } };
  return Number.parseInt(clientVersion.minor, 10) >= 21;
}
const skip = !kustomizes() && 'NOT TESTED: no kubectl of 1.21 or later here (apt-get install kubernetes-client)';

function documents(text: string): Manifest[] {
  return parseAllDocuments(text).map((one) => one.toJS() as Manifest);
}
const files = [...readdirSync(join(ROOT, BASE)).map((name) => `${BASE}/${name}`), `${OVERLAY}/namespace.yaml`];
const written = files.filter((name) => !name.endsWith('kustomization.yaml')).flatMap((name) => documents(textOf(name)));

/** @returns what the schema of Kubernetes has against it */
function faultOf(manifest: Manifest): string {
  const Model = MODELS[manifest.apiVersion]?.[manifest.kind];
  if (!Model) return 'there is no such kind';
  // Lines of base64 are joined by those who read it (RFC 4648 section 3.3 lets them).
  const data = manifest.data && Object.entries(manifest.data).map(([key, value]) => [key, value.replaceAll(/\s/g, '')]);
  try {
    new Model(
      manifest.kind === 'Secret' && data ? { ...manifest, data: Object.fromEntries(data) as object } : manifest,
    ).validate();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

void t.test('each manifest fits the schema of its kind', (t) => {
  t.equal(written.length, 5);
  for (const one of written) t.equal(faultOf(one), '', one.kind);
  const [first] = written as [Manifest];
  t.not(faultOf({ ...first, metadata: { name: 1 } } as unknown as Manifest), '', 'a wrong type is found');
  t.end();
});

void t.test('no manifest has a key that its kind has not', (t) => {
  // The schemas let unknown keys pass; types do not.
  const folder = t.testdir();
  const file = join(folder, 'manifests.ts');
  const check = (manifests: readonly Manifest[]): string => {
    const lines = manifests.map(
      ({ apiVersion, kind, ...rest }, index) =>
        `import { type I${kind} as T${index} } from 'kubernetes-models/${apiVersion}';\n` +
        `export const m${index}: T${index} = ${JSON.stringify({ apiVersion, kind, ...rest })};`,
    );
    writeFileSync(file, lines.join('\n'));
    const options = ['--noEmit', '--skipLibCheck', '--ignoreConfig', '--strict', '--module', 'nodenext'];
    // tap has Node load its own modules first, which no other program is to.
    const command = ['-u', 'NODE_OPTIONS', join(ROOT, 'node_modules/.bin/tsc'), ...options, file];
    const { status, stdout, stderr } = spawnSync('env', command, { encoding: 'utf8' });
    return status === 0 ? '' : `${stdout}${stderr}`;
  };
  t.equal(check(written), '');
  const service = written.find(({ kind }) => kind === 'Service') as Manifest;
  t.match(check([{ ...service, spec: { selektor: {} } } as Manifest]), /selektor.* does not exist/);
  t.end();
});

void t.test('kubectl makes one whole of base and overlay', { skip }, (t) => {
  const made = documents(execFileSync('kubectl', ['kustomize', join(ROOT, OVERLAY)], { encoding: 'utf8' }));
  t.same(made.map(({ kind, metadata }) => `${kind}/${metadata.name}`).toSorted(), [
    'ConfigMap/auth-shim',
    'ConfigMap/openclaw',
    'Namespace/openclaw',
    'NetworkPolicy/openclaw',
    'PodDisruptionBudget/openclaw',
    'Secret/auth-shim-callers',
    'Service/openclaw',
    'StatefulSet/openclaw',
  ]);
  for (const one of made) {
    t.equal(faultOf(one), '', one.kind);
    if (one.kind !== 'Namespace') t.equal(one.metadata.namespace, 'openclaw', one.kind);
  }
  const { spec } = made.find(({ kind }) => kind === 'StatefulSet') as unknown as { spec: typeof workload.spec };
  for (const { image } of containersOf(spec)) t.match(image, /^[a-z.]+\/[a-z/-]+:[0-9]/, 'a version, never "latest"');
  t.same(spec.template.spec.volumes, pod.volumes, 'names of what is generated stay');
  t.end();
});

void t.test(
  'kubectl makes the secrets of the page',
  { skip: !hasProgram('kubectl') && 'NOT TESTED: no kubectl here' },
  (t) => {
    const command =
      /^ *kubectl -n openclaw (create secret generic .*)$/m.exec(textOf('docs/deploy-kubernetes.md'))?.[1] ?? '';
    const script = `kubectl -n openclaw ${command} --dry-run=client -o yaml`;
    const [secret] = documents(execFileSync('sh', ['-euc', script], { encoding: 'utf8' })) as [Manifest];
    t.equal(faultOf(secret), '');
    t.match(Buffer.from(secret.data?.token ?? '', 'base64').toString(), /^[0-9a-f]{64}$/);
    t.end();
  },
);
