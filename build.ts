/**
 * Writes `dist/`: the program in one file, and in one more for each command that is loaded on demand. One file
 * instead of some four hundred starts in less time and memory.
 */
import { build, type Plugin } from 'esbuild';
import { makePage } from './src/status/make-page.ts';
import { execFileSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

/** The status page is made here, so that what is shipped needs neither its sources nor what makes it of them. */
const page = makePage();
const finishedPage: Plugin = {
  name: 'finished-page',
  setup(building) {
    building.onLoad({ filter: /[\\/]status[\\/]page-text\.ts$/ }, () => ({
      contents: `export const pageText = async () => (${JSON.stringify(page.text)});`,
    }));
  },
};

rmSync('dist', { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['src/main.ts'],
  outdir: 'dist',
  bundle: true,
  splitting: true,
  metafile: true,
  format: 'esm',
  platform: 'node',
  target: 'node22',
  legalComments: 'none',
  // `debug` takes it where a tool of the development has brought it.
  external: ['supports-color'],
  plugins: [finishedPage],
  // Some packages are CommonJS and ask for Node's own modules.
  banner: { js: "import { createRequire as r } from 'node:module';\nconst require = r(import.meta.url);" },
});
chmodSync('dist/main.js', 0o755);

interface Package {
  readonly name: string;
  readonly version: string;
}

const folders = new Set(
  [...Object.keys(metafile.inputs), ...page.inputs].flatMap(
    (path) => /^.*?(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  ),
);
const bundled = new Set<string>();
const licences = [...folders].sort().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as Package;
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} has no licence file`);
  bundled.add(`${name} ${version}`);
  return `${name} ${version}\n\n${readFileSync(`${folder}/${file}`, 'utf8').trim()}\n`;
});
writeFileSync('dist/THIRD-PARTY-LICENSES.txt', licences.join(`\n${'-'.repeat(80)}\n\n`));

// Of all that is locked, what is in the program: `--omit dev` leaves out what tools need as well.
const options = ['--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
const sbom = JSON.parse(execFileSync('npm', ['sbom', ...options], { encoding: 'utf8' })) as {
  metadata: { component: { name: string } };
  components: readonly (Package & { readonly 'bom-ref': string })[];
  dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
};
// npm calls it by its folder.
sbom.metadata.component.name = 'openclaw-auth-shim';
const components = sbom.components.filter(({ name, version }) => bundled.has(`${name} ${version}`));
const own = sbom.dependencies[0]?.ref ?? '';
const kept = new Set([own, ...components.map((one) => one['bom-ref'])]);
const dependencies = sbom.dependencies
  .filter(({ ref }) => kept.has(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => kept.has(one)) }));
writeFileSync('dist/sbom.cdx.json', `${JSON.stringify({ ...sbom, components, dependencies }, undefined, 2)}\n`);
