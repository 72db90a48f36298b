/** O19: what is installed is what was looked at. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

interface Package {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}
interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const read = (name: string): unknown => JSON.parse(readFileSync(join(import.meta.dirname, '../..', name), 'utf8'));
const { dependencies, devDependencies } = read('package.json') as Manifest;
const { packages } = read('package-lock.json') as { packages: Readonly<Record<string, Package>> };

void t.test('each dependency is asked for by its exact version', async (t) => {
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    t.match(version, /^\d+\.\d+\.\d+$/, name);
    t.equal(packages[`node_modules/${name}`]?.version, version, `${name} is locked`);
  }
});

void t.test('each locked package is known by its hash, and comes from no other place than the registry', async (t) => {
  const installed = Object.entries(packages).filter(([path, { link }]) => path !== '' && !link);
  t.ok(installed.length > 100);
  t.strictSame(
    installed.filter(
      ([, { integrity, resolved }]) =>
        !integrity?.startsWith('sha512-') || resolved?.startsWith('https://registry.npmjs.org/') === false,
    ),
    [],
  );
});

void t.test('what the shim itself needs runs nothing when it is installed', async (t) => {
  for (const name of Object.keys(dependencies)) t.notOk(packages[`node_modules/${name}`]?.hasInstallScript, name);
});
