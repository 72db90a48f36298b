/** How the configuration names claims: as a path, and within the template of a caller's name. Pure. */

/** A claim within claims: `["realm_access", "roles"]`. */
export type ClaimPath = readonly string[];

/** Texts and claims in turn: `["", ["sub"], ""]` for `{sub}`. */
export type NameTemplate = readonly (string | ClaimPath)[];

/** What is written is no path, or no template: `fault` says why. */
export interface PathFault {
  readonly fault: string;
}

/** What a name may be made of: visible ASCII, without `,`, `"` and `\`, which lists and quoted texts are read by. */
export const NAME_PART = /^[!#-+\--[\]-~]*$/;

/**
 * @param name of a caller
 * @returns the section whose claims gave it; in a name of another shim's caller a slash comes before any colon
 */
export function sectionOf(name: string): string | undefined {
  return /^([a-z][a-z0-9-]*):/.exec(name)?.[1];
}

/** Keys that every object seems to have: whatever they lead to is no claim. */
const NO_CLAIMS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * @param written steps with dots between (`realm_access.roles`), where `\.` is a dot within a step; or a list of steps
 * @returns the path
 */
export function parseClaimPath(written: string | readonly string[]): ClaimPath | PathFault {
  if (typeof written === 'string' && /[:/]/.test(written) && /(?<!\\)\./.test(written)) {
    return { fault: 'a claim with dots in its name is written with "\\." for each of them, or as a list of steps' };
  }
  const steps =
    typeof written === 'string' ? written.split(/(?<!\\)\./).map((step) => step.replaceAll('\\.', '.')) : written;
  if (steps.includes('')) return { fault: 'expected the name of a claim, or a path such as realm_access.roles' };
  const inherited = steps.find((step) => NO_CLAIMS.has(step));
  if (inherited !== undefined) return { fault: `"${inherited}" is no claim` };
  return steps;
}

/**
 * Between two claims there has to be a text: its first character ends the first of both, which is why no value of a
 * claim before another one may hold it. So no two sets of claims give one name.
 *
 * @param written such as `{repository}@{ref}`; within braces stands a path as `parseClaimPath` reads it
 * @returns the template
 */
export function parseTemplate(written: string): NameTemplate | PathFault {
  const pieces = written.split(/\{([^{}]*)\}/);
  if (pieces.length === 1) return { fault: 'it has no claim, such as {sub}: all callers would have one name' };
  const template: (string | ClaimPath)[] = [];
  for (const [index, piece] of pieces.entries()) {
    if (index % 2 === 1) {
      const path = parseClaimPath(piece);
      if ('fault' in path) return { fault: `{${piece}}: ${path.fault}` };
      template.push(path);
    } else if (/[{}]/.test(piece)) {
      return { fault: 'it has a brace without its other one' };
    } else if (!NAME_PART.test(piece)) {
      return {
        fault: 'expected visible ASCII without spaces, commas, double quotes and backslashes around the claims',
      };
    } else if (piece === '' && index > 0 && index < pieces.length - 1) {
      return { fault: 'between two claims there has to be a text: otherwise two callers could have one name' };
    } else {
      template.push(piece);
    }
  }
  return template;
}
