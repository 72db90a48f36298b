/** Makes the status page of its sources. It runs at build, or where the shim is run from its sources; never in `dist`. */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { PageText } from './page-text.ts';

const FOLDER = join(import.meta.dirname, 'page');

/** @returns the page, and the paths of all that went into it, from the working folder */
export function makePage(): { readonly text: PageText; readonly inputs: readonly string[] } {
  const { outputFiles, metafile } = buildSync({
    entryPoints: ['page.ts', 'page.css'].map((name) => join(FOLDER, name)),
    outdir: FOLDER,
    write: false,
    bundle: true,
    minify: true,
    metafile: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    legalComments: 'none',
  });
  const outputOf = (end: string): string => (outputFiles.find(({ path }) => path.endsWith(end))?.text ?? '').trim();
  const [script, style] = [outputOf('.js'), outputOf('.css')];
  // Functions, since a replacement text has signs of its own.
  const html = readFileSync(join(FOLDER, 'page.html'), 'utf8')
    .replace('<style></style>', () => `<style>${style}</style>`)
    .replace('<script></script>', () => `<script>${script}</script>`);
  return {
    text: { html, scriptHash: sourceOf(script), styleHash: sourceOf(style) },
    inputs: Object.keys(metafile.inputs),
  };
}

function sourceOf(text: string): string {
  return `'sha256-${hash('sha256', text, 'base64')}'`;
}
