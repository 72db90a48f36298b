/** Why a gateway in mode `trusted-proxy` does not trust the shim: it says so only in the refusal of a connect. */
import { isLoopbackHost } from '../config/address.ts';
import { bareHost } from '../config/hop.ts';
import { foldName } from '../headers/families.ts';
import { isStandardHeader } from '../headers/standard.ts';
import type { Gateway } from './ask.ts';
import { found, openclaw, yaml, type Found } from './finding.ts';
import { since } from './release.ts';
import { tryConnect } from './socket.ts';

/** Refused where the identity is: the reason is then told. */
const NO_SECRET = { token: 'auth-shim-doctor' } as const;
/** How many callers are named at most. */
export const MOST_NAMES = 10;

/**
 * @param gateway in mode `trusted-proxy`, as the configuration says as well
 * @param why what it refused a request for
 * @param release of it, where it told
 * @returns what to change
 */
export async function trustedProxyFinding(
  gateway: Gateway,
  why: 'trusted_proxy_refused' | 'proxy_attribution_required',
  release: string | undefined,
): Promise<Found> {
  const { auth, origin } = gateway.config.gateway;
  if (auth.mode !== 'trusted-proxy') throw new Error('only trusted-proxy has an identity');
  const local = isLoopbackHost(bareHost(new URL(origin)));
  const source = local ? "'127.0.0.1', '::1'" : "'192.0.2.10' /* the address of the shim */";
  const trust = openclaw(`{ gateway: { trustedProxies: [${source}] } }`);
  if (why === 'proxy_attribution_required') {
    return found(why, 'the gateway does not count the shim among its trusted proxies.', [trust]);
  }
  const result = await tryConnect(gateway, gateway.identity(['operator.read']), NO_SECRET);
  const reason = result.kind === 'refused' ? result.reason : '';
  if (reason === 'trusted_proxy_loopback_source') {
    const words = 'the gateway does not believe a proxy on loopback (trusted_proxy_loopback_source)';
    if (release !== undefined && !since(release, '2026.4.27')) {
      return found(
        reason,
        `${words}, and nothing changes that before 2026.4.27: take another mode, or a later release.`,
        [
          openclaw("{ gateway: { auth: { mode: 'token', token: '${OPENCLAW_GATEWAY_TOKEN}' } } }"),
          yaml('gateway:', '  auth: { mode: token, secret: { env: OPENCLAW_GATEWAY_TOKEN } }'),
        ],
      );
    }
    return found(reason, `${words} unless that is allowed, which it can be from 2026.4.27 on.`, [
      openclaw('{ gateway: { auth: { trustedProxy: { allowLoopback: true } } } }'),
      trust,
    ]);
  }
  if (reason === 'trusted_proxy_untrusted_source') {
    return found(why, `the gateway does not count the shim among its trusted proxies (${reason}).`, [trust]);
  }
  if (reason === 'trusted_proxy_user_missing') {
    const name = shown(auth.userHeader) ?? '… the value of userHeader in shim.config.yaml …';
    return found(why, `the gateway looks for the user in another header than the shim sends (${reason}).`, [
      openclaw(`{ gateway: { auth: { trustedProxy: { userHeader: '${name}' } } } }`),
    ]);
  }
  const [, wanted] = /^trusted_proxy_missing_header_(.+)$/.exec(reason) ?? [];
  if (wanted !== undefined) {
    const name = shown(wanted);
    const words = `the gateway wants ${name === undefined ? 'a header' : `the header ${name}`} that the shim does not send`;
    return found(why, `${words} (trusted_proxy_missing_header).`, [
      yaml(
        'gateway:',
        '  auth:',
        name === undefined
          ? '    requiredHeaders: [{ name: { env: AUTH_SHIM_PROOF_HEADER }, value: "1" }] # each of trustedProxy.requiredHeaders'
          : `    requiredHeaders: [{ name: ${name}, value: "1" }]`,
      ),
    ]);
  }
  if (reason === 'trusted_proxy_user_not_allowed') return notAllowed(callerNames(gateway));
  const words = 'the gateway does not trust the shim, and does not say why; its log has more.';
  return found(why, words, [trust, openclaw('{ gateway: { auth: { trustedProxy: { allowLoopback: true } } } }')]);
}

/** @returns names by which the gateway is asked, and looked at with */
export function callerNames({ config }: Gateway): string[] {
  return config.callers.slice(0, MOST_NAMES).map(({ name }) => name);
}

/** @returns what to change so that the gateway takes users of these names */
export function notAllowed(names: readonly string[]): Found {
  const list = names.map((name) => `'${name}'`).join(', ');
  const who = names.length > 0 ? `the callers ${names.join(', ')}` : 'callers';
  return found(
    'trusted_proxy_refused',
    `the gateway does not take ${who} for users of its own (trusted_proxy_user_not_allowed).`,
    [
      openclaw(
        `{ gateway: { auth: { trustedProxy: { allowUsers: [${list || '/* names of callers */'}] } } } } // beside those that are there`,
      ),
    ],
  );
}

/** A name that is no common one is a secret itself. */
function shown(name: string): string | undefined {
  return isStandardHeader(foldName(name)) ? name.toLowerCase() : undefined;
}
