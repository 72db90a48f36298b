/** The pages of the repository, as texts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

const names = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** By their path from the top of the repository. */
export const pages: ReadonlyMap<string, string> = new Map(names.map((name) => [name, textOf(name)]));

/** @returns what a file of the repository holds */
export function textOf(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8');
}

/** @returns the part below a heading of the second level */
export function section(text: string, heading: string): string {
  return text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
}

/** @returns what stands in backticks, and in blocks */
export function codeOf(text: string): string[] {
  const blocks = [...text.matchAll(/^ *```\w*\n(.*?)^ *```$/gms)].map(([, block = '']) => block);
  const spans = [...text.replaceAll(/^ *```\w*\n.*?^ *```$/gms, '').matchAll(/`([^`\n]+)`/g)];
  return [...blocks, ...spans.map(([, span = '']) => span)];
}
