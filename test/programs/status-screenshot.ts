/** Takes the pictures of docs/status.md: an hour of made-up callers in some seconds, seen in a browser. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { parseConfig } from '../../src/config/load.ts';
import { startGateway } from '../../src/demo/gateway.ts';
import { requestLog } from '../../src/observe/log.ts';
import { startShim } from '../../src/server/shim.ts';
import { startBrowser } from '../helpers/browser.ts';
import { ROOT } from '../helpers/pages.ts';
import { bearer, caller, GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

const HOUR = 3_600_000;
const MINUTE = 60_000;
const FOLDER = join(ROOT, 'docs/images');

const clock = { now: Date.now() - HOUR };
const now = (): number => clock.now;
const soon = new Date(clock.now + 3 * 24 * HOUR).toISOString().slice(0, 10);
const gateway = await startGateway({ auth: { mode: 'token', token: GATEWAY_SECRET } });
const text = [
  'listen: { port: 0 }',
  `gateway: { url: "${gateway.url}", auth: { mode: token, secret: { env: SECRET } } }`,
  'admin: { port: 0 }',
  'callers:',
  caller('agentpage', TOKENS.writer, ['operator.read', 'operator.write']),
  caller('nightly-report', TOKENS.reader, ['operator.read']).replace(' }]', `, expires: ${soon} }]`),
  caller('on-call', TOKENS.admin, ['operator.admin']),
].join('\n');
const world = { readFile: () => '', env: { SECRET: GATEWAY_SECRET }, home: '/', now: now() };
const { config } = await parseConfig('shim.config.yaml', text, world);
const shim = await startShim(config, requestLog(pino({ level: 'silent' })), {
  now,
  program: {
    version: '0.1.0',
    node: process.versions.node,
    env: {},
    usage: () => ({ cpu: process.cpuUsage(), memory: process.memoryUsage() }),
    umask: () => 0,
    now,
  },
});

const ask = async (path: string, token: string | undefined, more: RequestInit = {}): Promise<void> => {
  await (await fetch(`${shim.url}${path}`, { ...more, headers: token === undefined ? {} : bearer(token) })).text();
};
const end = Date.now();
for (let step = 0; clock.now < end; step++) {
  // More by and by, with a swing, as a day begins.
  const count = 3 + Math.round(step / 60 + 3 * Math.sin(step / 20));
  for (let i = 0; i < count; i++) await ask('/v1/models', i % 3 === 0 ? TOKENS.reader : TOKENS.writer);
  if (step % 60 === 40) await ask('/v1/models', 'x'.repeat(40));
  if (step === 200) await ask('/v1/chat/completions', TOKENS.reader, { method: 'POST' });
  if (step === 320) await ask('/v1/files', TOKENS.writer);
  if (step === 330) await ask('/v1/models', undefined);
  clock.now += MINUTE / 6;
}
clock.now = Date.now();

mkdirSync(FOLDER, { recursive: true });
const browser = await startBrowser();
for (const colorScheme of ['light', 'dark'] as const) {
  const page = await browser.newPage({ colorScheme, viewport: { width: 1000, height: 900 } });
  await page.goto(`${shim.adminUrl}/`);
  await page.getByRole('status').getByText('Ready', { exact: true }).waitFor();
  // What is drawn on a canvas comes to the screen some frames later.
  await page.waitForTimeout(1_000);
  await page.screenshot({ path: join(FOLDER, `status-${colorScheme}.png`), fullPage: true });
}
await browser.close();
await shim.stop();
await gateway.close();
