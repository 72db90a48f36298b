/**
 * Writes `dist/`: the program in one file, and in one more for each command that is loaded on demand. One file
 * instead of some four hundred starts in less time and memory.
 */
import { build, type Plugin } from 'esbuild';
import { makePage } from './src/status/make-page.ts';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

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
  plugins: [finishedPage],
  // Some packages are CommonJS and ask for Node's own modules.
  banner: { js: "import { createRequire as r } from 'node:module';\nconst require = r(import.meta.url);" },
});
chmodSync('dist/main.js', 0o755);

const packages = new Set(
  [...Object.keys(metafile.inputs), ...page.inputs].flatMap(
    (path) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  ),
);
const licences = [...packages].sort().map((name) => {
  const folder = `node_modules/${name}`;
  const { version } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { version: string };
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined || !existsSync(`${folder}/${file}`)) throw new Error(`${name} has no licence file`);
  return `${name} ${version}\n\n${readFileSync(`${folder}/${file}`, 'utf8').trim()}\n`;
});
writeFileSync('dist/THIRD-PARTY-LICENSES.txt', licences.join(`\n${'-'.repeat(80)}\n\n`));
