/** The status page in a browser: what is seen, and that nothing but the shim is asked for it. */
import t, { type Test } from 'tap';
import type { Browser, Page } from 'playwright-core';
import { Recent } from '../../src/observe/recent.ts';
import { hasBrowser, startBrowser } from '../helpers/browser.ts';
import { rawExchange } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { startStack, TOKENS, type Stack } from '../helpers/stack.ts';

if (!hasBrowser && process.env.CI === undefined) {
  t.comment(
    '!!! There is no /usr/bin/chromium: the status page is NOT tested. Install it with: apt-get install chromium',
  );
  t.pass('without a browser', { skip: 'no /usr/bin/chromium' });
  process.exit(0);
}

const browser: Browser = await startBrowser();
t.teardown(() => browser.close());

interface Seen {
  readonly page: Page;
  /** What the console said, and what was not let through. */
  readonly complaints: string[];
  /** Every address that was asked for. */
  readonly asked: string[];
}

async function look(
  t: Test,
  { adminUrl }: Stack,
  {
    width = 1100,
    dark = false,
    ...more
  }: { width?: number; dark?: boolean; httpCredentials?: { username: string; password: string } } = {},
): Promise<Seen> {
  const context = await browser.newContext({
    viewport: { width, height: 800 },
    colorScheme: dark ? 'dark' : 'light',
    ...more,
  });
  t.teardown(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => asked.push(request.url()));
  await page.addInitScript("addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective))");
  await page.goto(`${adminUrl}/`);
  await page.getByRole('status').getByText('Ready', { exact: true }).waitFor();
  return { page, complaints, asked };
}

// What runs in the page is text: its types are those of a browser.

/** An expression: how many pixels of a chart are of a colour of the page. */
function pixelsOf(chart: string, colour: string): string {
  return `(() => {
    const canvas = document.querySelector('#${chart}-chart canvas');
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    const hex = getComputedStyle(document.documentElement).getPropertyValue('${colour}').trim();
    const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
    let count = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] === r && data[i + 1] === g && data[i + 2] === b) count += 1;
    return count;
  })()`;
}

function pixels(page: Page, chart: string, colour: string): Promise<number> {
  return page.evaluate<number>(pixelsOf(chart, colour));
}

void t.test('a refusal is shown as it happens, and nobody else is asked for anything', async (t) => {
  const stack = await startStack(t);
  const { page, complaints, asked } = await look(t, stack);
  t.ok(await page.getByText('None since the start.').isVisible());
  await rawExchange(stack.port, get('/nowhere', '', TOKENS.reader));
  const row = page.locator('#refusals tbody tr');
  await row.waitFor();
  t.match(
    await row.innerText(),
    /404 route_not_exposed\s+reader\s+GET \/nowhere\s+This route is not exposed\.\s+Add the route to routes, /,
  );
  t.notOk(await page.getByText('None since the start.').isVisible());
  await page.getByText('1 refusal in the last minute').waitFor();
  t.ok((await pixels(page, 'refusals', '--bad')) > 10, 'the bar of a refusal');
  t.strictSame(asked, [`${stack.adminUrl}/`, `${stack.adminUrl}/events`]);
  t.strictSame(complaints, []);
});

void t.test('the same refusal again is told in the row that is there', async (t) => {
  const stack = await startStack(t);
  for (let i = 0; i < 3; i++) await rawExchange(stack.port, get('/nowhere', '', TOKENS.reader));
  const { page } = await look(t, stack);
  await page.locator('#refusals').getByText(', the last of 3').waitFor();
  t.equal(await page.locator('#refusals tbody tr').count(), 1);
});

void t.test('a reload that failed looks like a fault, and stands above all that only grows', async (t) => {
  const stack = await startStack(t);
  const { page } = await look(t, stack);
  const colour = (selector: string): Promise<string> =>
    page.evaluate<string>(`getComputedStyle(document.querySelector('${selector}')).color`);
  const [bad, good] = ['rgb(179, 38, 30)', 'rgb(23, 112, 58)'];
  t.strictSame([await colour('#ready'), await colour('#checks dd')], [good, good]);
  stack.reloadFails('1 fault, see the log', ['shim.config.yaml:1:1 callers: wrong']);
  await page.getByRole('status').getByText('Ready, but the last reload failed').waitFor();
  await page.locator('#faults li').first().waitFor();
  t.strictSame([await colour('#ready'), await colour('#checks dd'), await colour('#reload')], [bad, bad, bad]);
  const titles = await page.locator('h2').allTextContents();
  t.strictSame(titles.slice(0, 2), ['Health', 'Configuration']);
  t.equal(titles.at(-1), 'Last refusals');
});

void t.test('charts are drawn, in the colours of the light and of the dark', async (t) => {
  const stack = await startStack(t);
  for (let i = 0; i < 5; i++) await rawExchange(stack.port, get('/v1/models', '', TOKENS.reader));
  const grounds: string[] = [];
  for (const dark of [false, true]) {
    const { page, complaints } = await look(t, stack, { dark });
    await page.getByText('5 requests in the last minute').waitFor();
    t.ok((await pixels(page, 'requests', '--first')) > 10, 'requests');
    t.ok((await pixels(page, 'latency', '--second')) > 3, 'latency');
    t.ok((await pixels(page, 'latency', '--muted')) > 10, 'its axis');
    grounds.push(await page.evaluate<string>('getComputedStyle(document.body).backgroundColor'));
    await page.emulateMedia({ colorScheme: dark ? 'light' : 'dark' });
    // In the colour of the other scheme, without another word from the shim.
    await page.waitForFunction(`${pixelsOf('requests', '--first')} > 10`);
    t.strictSame(complaints, []);
  }
  t.strictSame(grounds, ['rgb(255, 255, 255)', 'rgb(18, 22, 28)']);
});

void t.test('on a phone everything is there, and nothing is beside the screen', async (t) => {
  const stack = await startStack(t);
  await rawExchange(stack.port, get(`/${'long'.repeat(60)}`, '', TOKENS.reader));
  const { page, complaints } = await look(t, stack, { width: 360 });
  await page.locator('#refusals tbody tr').waitFor();
  const sizes = await page.evaluate<unknown>(`({
    page: document.documentElement.scrollWidth,
    beyond: [...document.querySelectorAll('body *')]
      .filter((one) => one.closest('thead') === null && one.getBoundingClientRect().right > 360)
      .map(({ tagName, className }) => tagName + ' ' + className),
  })`);
  t.strictSame(sizes, { page: 360, beyond: [] });
  const label = `getComputedStyle(document.querySelector('#refusals tbody td'), '::before').content`;
  t.equal(await page.evaluate<string>(label), '"Time"');
  // Laid out as cards, they are tables all the same.
  t.equal(await page.getByRole('table', { name: 'Last refusals' }).getByRole('cell').count(), 7);
  t.equal(await page.getByRole('table', { name: 'Last refusals' }).getByRole('columnheader').count(), 7);
  t.strictSame(complaints, []);
});

void t.test('names that other people chose are words, and nothing else', async (t) => {
  const hostile = [
    '<img src=x onerror=alert(1)>',
    '</script><script>alert(1)</script>',
    '"><a href="https://evil.example">here</a>',
    "javascript:alert('1')",
    '\u202egnp.exe\u200b\u0007',
    '&lt;b&gt;',
    '__proto__',
    'event: end\ndata: 0\n\n',
  ];
  // As an issuer may name them; the shim's own rules for names are not what is tested.
  const finished = Object.getOwnPropertyDescriptor(Recent.prototype, 'finished')?.value as Recent['finished'];
  let next = 0;
  t.intercept(Recent.prototype, 'finished', {
    value(this: Recent, record: Parameters<typeof finished>[0], forwarded: boolean) {
      const caller = hostile[next++ % hostile.length] as string;
      finished.call(this, { ...record, caller, reason: caller, path: caller, route: undefined }, forwarded);
    },
  });
  const stack = await startStack(t);
  for (const _ of hostile) await rawExchange(stack.port, get('/nowhere', '', TOKENS.reader));
  const { page, complaints, asked } = await look(t, stack);
  await page.locator(`#refusals tbody tr:nth-child(${hostile.length})`).waitFor();
  const shown = await page.locator('#callers tbody td:first-child').allTextContents();
  const written = hostile.map((name) =>
    name.replaceAll(/[\p{Cc}\p{Cf}]/gu, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
  for (const name of written) t.ok(shown.includes(name), name);
  t.equal(await page.locator('table :is(img, a, script, b)').count(), 0);
  t.equal(asked.length, 2);
  t.strictSame(complaints, []);
});

void t.test('a browser gets in with the token as password', async (t) => {
  const password = 'admin-token-of-the-page-0123456789';
  const stack = await startStack(t, { admin: '{ port: 0, token: { env: ADMIN } }', env: { ADMIN: password } });
  const { page } = await look(t, stack, { httpCredentials: { username: 'me', password } });
  await rawExchange(stack.port, get('/nowhere', '', TOKENS.reader));
  await page.locator('#refusals tbody tr').waitFor();
  t.pass('its events as well');
});

void t.test('a shim that shuts down is told of, and the page knows that it is old', async (t) => {
  const stack = await startStack(t);
  const { page } = await look(t, stack);
  await stack.drain();
  await page
    .getByRole('status')
    .getByText(/shutting down|Not connected/)
    .waitFor();
  t.equal(await page.evaluate<string>('document.body.className'), 'stale');
});
