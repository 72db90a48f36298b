/** The status page as text. The build puts the finished text in the place of this file. */

/** One page without anything outside of it. */
export interface PageText {
  readonly html: string;
  /** What the policy of the page allows, as sources of `Content-Security-Policy` (CSP 3 section 2.3.1). */
  readonly scriptHash: string;
  readonly styleHash: string;
}

/** @returns the page, made of its sources */
export async function pageText(): Promise<PageText> {
  const { makePage } = await import('./make-page.ts');
  return makePage().text;
}
