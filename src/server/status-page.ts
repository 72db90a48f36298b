/** The status page and those who look at it: one document, and events as long as somebody has it open. */
import type { ServerResponse } from 'node:http';
import { gather, type StatusSources } from '../status/gather.ts';
import type { Health } from './health.ts';

/** Of the connections of the listener; a browser that is left open takes one. */
export const MOST_VIEWS = 8;
const TICK_MS = 1_000;
/** The gateway is asked for its health so often at most. */
const HEALTH_MS = 5_000;
const HEARTBEAT_MS = 15_000;
/** What may wait for somebody who does not read. */
const MOST_WAITING_BYTES = 1024 * 1024;

/** The page, once somebody has asked for it. */
export interface StatusPage {
  document(): Promise<{ readonly html: string; readonly headers: Readonly<Record<string, string>> }>;
  readonly viewHeaders: Readonly<Record<string, string>>;
  /** Answers with events until either side ends it. @returns `false` where there are too many, and nothing was done */
  view(res: ServerResponse): boolean;
  /** @param event that tells them why: they come `again`, or it is the `end` */
  endViews(event: 'again' | 'end'): void;
}

/**
 * @param sources what is shown
 * @param health what is ready
 * @param clock milliseconds that only go on
 * @returns the page; it does nothing while nobody looks
 */
export function createStatusPage(
  sources: StatusSources,
  health: Health,
  clock: () => number = () => performance.now(),
): StatusPage {
  const views = new Set<ServerResponse>();
  /** The last text of each part: only what changed is sent. */
  const told = new Map<string, string>();
  let checks: Awaited<ReturnType<Health>> | undefined;
  let asked = -Infinity;
  let beaten = -Infinity;
  let timer: NodeJS.Timeout | undefined;

  return {
    async document() {
      const { html, scriptHash, styleHash } = await (await import('../status/page-text.ts')).pageText();
      return { html, headers: documentHeaders(scriptHash, styleHash) };
    },
    viewHeaders: VIEW_HEADERS,
    view(res) {
      if (views.size >= MOST_VIEWS) return false;
      // What the others have by now, so that the first words are all there is to say.
      tick();
      res.writeHead(200, VIEW_HEADERS);
      res.write(eventOf('clock', sources.now()) + [...told].map(([name, text]) => `event: ${name}\n${text}`).join(''));
      views.add(res);
      res.once('close', () => {
        views.delete(res);
        if (views.size > 0) return;
        clearInterval(timer);
        timer = undefined;
        // Whoever comes next shall not be told what was so a while ago.
        told.clear();
        [checks, asked] = [undefined, -Infinity];
      });
      timer ??= setInterval(tick, TICK_MS).unref();
      return true;
    },
    endViews(event) {
      for (const res of views) res.end(eventOf(event, 0));
      // One that does not read is not closed yet, and is told nothing more.
      views.clear();
    },
  };

  function tick(): void {
    const now = clock();
    if (now - asked >= HEALTH_MS) {
      asked = now;
      void health('/readyz').then((answer) => (checks = answer));
    }
    let news = '';
    for (const [name, part] of Object.entries<unknown>({ ...gather(sources, checks) })) {
      const text = dataOf(part);
      if (told.get(name) === text) continue;
      told.set(name, text);
      news += `event: ${name}\n${text}`;
    }
    if (now - beaten >= HEARTBEAT_MS) {
      beaten = now;
      news += eventOf('clock', sources.now());
    }
    if (news === '') return;
    for (const res of views) {
      if (res.writableLength > MOST_WAITING_BYTES) res.destroy();
      else res.write(news);
    }
  }
}

/** JSON has no line breaks of its own, so that it is one line of data. */
function dataOf(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function eventOf(name: string, value: unknown): string {
  return `event: ${name}\n${dataOf(value)}`;
}

const VIEW_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const;

/** Nothing but what the page has in itself, and its own events; texts are never taken for markup or code. */
function documentHeaders(script: string, style: string): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    `script-src ${script}`,
    `style-src ${style}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy.join('; '),
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-frame-options': 'DENY',
  };
}
