/** Whether something answers at `gateway.url`, what it is, and whose clock is right. */
import { bareHost } from '../config/hop.ts';
import { SOON } from '../config/warnings.ts';
import { formatInstant } from '../config/units.ts';
import { HopError } from '../gateway/connection.ts';
import { tlsFault, type TlsFault } from '../gateway/tls-fault.ts';
import { isLive, parseMap } from './answers.ts';
import type { Answer, DoctorWorld, Gateway } from './ask.ts';
import { command, found, openclaw, yaml, type Found } from './finding.ts';

/** A `Date` has whole seconds, and an answer takes some time. */
const CLOCK_MS = 10_000;
const READY_TRIES = 8;
const READY_MS = 500;

/** What answered, if anything did; the rest is looked at only where that is a gateway, or the next shim. */
export interface Reached {
  readonly findings: readonly Found[];
  readonly usable: boolean;
}

/**
 * @param gateway to be asked
 * @param world clock
 * @returns what is there
 */
export async function examineReach(gateway: Gateway, world: Pick<DoctorWorld, 'now'>): Promise<Reached> {
  const { origin, auth } = gateway.config.gateway;
  const shim = auth.mode === 'shim';
  let answer: Answer;
  try {
    answer = await gateway.ask({ method: 'GET', path: '/health', headers: shim ? gateway.identity([]) : [] });
  } catch (error) {
    return { findings: [await unreachable(gateway, error as Error)], usable: false };
  }
  if (shim ? answer.headers['x-request-id'] === undefined : !isLive(answer)) {
    return { findings: [notGateway(gateway, answer)], usable: false };
  }
  const findings = [
    found('gateway_reachable', `${shim ? 'another shim' : 'a gateway'} answers at ${origin}.`),
    ...(shim ? [] : await examineStart(gateway)),
    ...examineCertificate(gateway, world),
    examineClock(answer, world),
  ];
  return { findings, usable: true };
}

const GATEWAY_URL = yaml('gateway:', '  url: http://127.0.0.1:18789 # the port is gateway.port of openclaw.json');

function notGateway({ config }: Gateway, { status, headers }: Answer): Found {
  const { origin, auth } = config.gateway;
  if (auth.mode === 'shim') {
    return found('not_a_gateway', `what answers at ${origin} (${status} on /health) is no shim.`, [
      yaml('gateway:', '  url: https://shim.example.org:18780 # listen of the other shim', '  auth: { mode: shim }'),
    ]);
  }
  const what = headers['x-request-id'] === undefined ? 'no OpenClaw gateway' : 'a shim, and not the gateway';
  return found('not_a_gateway', `what answers at ${origin} (${status} on /health) is ${what}.`, [GATEWAY_URL]);
}

async function unreachable({ config }: Gateway, error: Error): Promise<Found> {
  const { origin } = config.gateway;
  const url = new URL(origin);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (code === 'ECONNREFUSED') {
    return found('gateway_not_listening', `nothing listens at ${origin}: the gateway is down, or has another port.`, [
      command('openclaw gateway status'),
      openclaw(`{ gateway: { port: ${port} } } // or its own port in gateway.url of the shim`),
    ]);
  }
  const loopback = `  url: ${url.protocol}//127.0.0.1:${port}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return found('gateway_name_unresolved', `the name ${bareHost(url)} does not resolve (${code}).`, [
      yaml('gateway:', loopback),
    ]);
  }
  if (error instanceof HopError && error.code === 'HOP_NOT_LOOPBACK') {
    return found('gateway_name_unresolved', `${error.message}: a plaintext hop does not leave the machine.`, [
      yaml('gateway:', loopback),
    ]);
  }
  const fault = tlsFault(error);
  if (fault) return tlsFinding(fault, url);
  if ((error instanceof HopError && error.code === 'HOP_TIMEOUT') || error.message.startsWith('no answer within')) {
    return found('gateway_timeout', `${origin} does not answer: ${error.message}.`, [
      command('openclaw gateway restart'),
    ]);
  }
  const pin = url.protocol === 'http:' ? await fingerprintAt(bareHost(url), Number(port)) : undefined;
  if (pin !== undefined) {
    return found('gateway_speaks_tls', `the gateway at ${origin} wants TLS, and the shim asks without.`, [
      yaml('gateway:', `  url: https://${url.host}`, `  tls: { fingerprint: "${pin}" } # ${COMPARE}`),
      openclaw('{ gateway: { tls: { enabled: false } } } // or this instead, on loopback alone'),
    ]);
  }
  return found('gateway_unreachable', `${origin} cannot be asked: ${code || error.message}.`, [GATEWAY_URL]);
}

const COMPARE = 'once you have compared it on the machine of the gateway';

function tlsFinding({ refused, words }: TlsFault, url: URL): Found {
  const { origin, host } = url;
  if (refused) {
    return found('certificate_refused', `${origin} does not take the certificate of the shim: ${words}.`, [
      yaml('gateway:', '  tls: { cert: client.crt, key: client.key } # of an authority that is trusted there'),
    ]);
  }
  if (words.includes('does not speak TLS')) {
    return found('gateway_speaks_no_tls', `what answers at ${origin} does not speak TLS.`, [
      yaml('gateway:', `  url: http://${host} # on loopback alone`),
      openclaw('{ gateway: { tls: { enabled: true } } } // or this instead'),
    ]);
  }
  const shown = /sha256:[0-9a-f]{64}/.exec(words)?.[0];
  const tls = shown === undefined ? 'ca: gateway-ca.crt' : `fingerprint: "${shown}"`;
  return found('gateway_certificate_wrong', `the certificate of ${origin} is not taken: ${words}.`, [
    command('openssl x509 -in ~/.openclaw/gateway/tls/gateway-cert.pem -noout -fingerprint -sha256'),
    yaml('gateway:', `  tls: { ${tls} } # ${shown === undefined ? 'or fingerprint: sha256:…' : COMPARE}`),
  ]);
}

/** Nothing is sent within it, and nothing believed. @returns the certificate's, where TLS is spoken */
async function fingerprintAt(host: string, port: number): Promise<string | undefined> {
  const { connect } = await import('node:tls');
  return new Promise((resolve) => {
    const socket = connect({ host, port, rejectUnauthorized: false, timeout: 3_000 });
    const settle = (pin?: string): void => {
      resolve(pin);
      socket.destroy();
    };
    socket.once('secureConnect', () => {
      const { fingerprint256 = '' } = socket.getPeerX509Certificate() ?? {};
      settle(`sha256:${fingerprint256.replaceAll(':', '').toLowerCase()}`);
    });
    socket.once('timeout', () => settle());
    socket.once('error', () => settle());
    socket.once('close', () => settle());
  });
}

/** Its newest releases are live some seconds before they are ready. */
async function examineStart(gateway: Gateway): Promise<Found[]> {
  for (let tries = 0; ; tries++) {
    const answer = await gateway.ask({ method: 'GET', path: '/readyz' }).catch(() => undefined);
    if (answer?.status !== 503) return [];
    if (tries < READY_TRIES) {
      await new Promise((resolve) => setTimeout(resolve, READY_MS));
      continue;
    }
    const { failing } = parseMap(answer.body) ?? {};
    const names = Array.isArray(failing) ? failing.filter((one): one is string => typeof one === 'string') : [];
    const what = names.length > 0 ? ` for ${names.slice(0, 5).join(', ').slice(0, 200)}` : '';
    const words = `the gateway says that it is not ready (503 on /readyz${what}): ask again in a minute.`;
    return [found('gateway_starting', words, [command('openclaw gateway status --deep')])];
  }
}

function examineClock({ headers: { date } }: Answer, { now }: Pick<DoctorWorld, 'now'>): Found {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) return found('not_examined', 'the clock: the answer has no Date.');
  const ahead = Math.round((theirs - now()) / 1000);
  if (Math.abs(ahead) * 1000 <= CLOCK_MS) return found('clock_agrees', 'the clocks of gateway and shim agree.');
  const words = `the clock of the gateway is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} the one here.`;
  return found('clock_differs', words, [command('timedatectl set-ntp true # on both machines')]);
}

function examineCertificate({ certificate, config }: Gateway, { now }: Pick<DoctorWorld, 'now'>): Found[] {
  const end = Date.parse(certificate?.validTo ?? '');
  if (!(end <= now() + SOON)) return [];
  const words = `the certificate of ${config.gateway.origin} ends at ${formatInstant(end)}.`;
  return [found('certificate_expiry', words)];
}
