/** What `auth-shim tls init` says of the files it made, and what the configurations of both shims make of them. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { fingerprintOf } from '../config/certificate-names.ts';
import { table } from './table.ts';

/** Every server's certificate has them. */
export const LOCAL_NAMES: readonly string[] = ['localhost', '127.0.0.1', '::1'];
const PORT = 18443;
/** What people who paste it should think about: the most that a caller of another shim may have. */
const CEILING = ['operator.read', 'operator.write'];

/** A pair, as scripts read it. */
export interface MadePair {
  /** Paths, beginning with the folder as the user calls it. */
  readonly cert: string;
  readonly key: string;
  /** `sha256:` and 64 lower-case hex digits: of the certificate's DER form. */
  readonly fingerprint: string;
  /** The end, ISO 8601. */
  readonly expires: string;
  /** What it is for: names, addresses, a URI. */
  readonly names: readonly string[];
}

export interface TlsInitResult {
  readonly authority: MadePair & { readonly made: boolean };
  /** `null` where it was not asked for. */
  readonly server: MadePair | null;
  /** Shims that call for callers of their own. */
  readonly clients: readonly (MadePair & { readonly name: string })[];
  readonly callers: readonly (MadePair & { readonly name: string })[];
}

/**
 * @param folder as the user calls it
 * @param name of the files, without their ends
 * @param pem the certificate
 * @returns what is told of the pair
 */
export function describe(folder: string, name: string, pem: string): MadePair {
  const certificate = new X509Certificate(pem);
  return {
    cert: join(folder, `${name}.crt`),
    key: join(folder, `${name}.key`),
    fingerprint: `sha256:${fingerprintOf(certificate)}`,
    expires: certificate.validToDate.toISOString(),
    names: namesOf(certificate),
  };
}

/**
 * @param result what was made
 * @param hosts names and addresses of the server but those of loopback
 * @returns a table, and what to paste into the configurations
 */
export function formatResult({ authority, server, clients, callers }: TlsInitResult, hosts: readonly string[]): string {
  const pairs = [...(authority.made ? [authority] : []), ...(server ? [server] : []), ...clients, ...callers];
  const rows = pairs.map(({ cert, key, expires, names }) => [cert, key, expires.slice(0, 10), names.join(' ')]);
  const [host = '127.0.0.1'] = hosts;
  const { cert, key } = server ?? {};
  const beside = {
    ...(server && {
      listen: {
        ...(hosts.length > 0 && { host: '0.0.0.0' }),
        port: PORT,
        tls: { cert, key, clientCa: authority.cert },
      },
    }),
    ...(clients.length + callers.length > 0 && {
      callers: [...clients, ...callers].map((one) => ({
        name: one.name,
        certificates: [{ uri: one.names[0] }],
        ...(clients.includes(one) && { onBehalf: true }),
        scopes: CEILING,
      })),
    }),
  };
  const afar = clients.map((client): [string, object] => [
    `shim A, next to its callers, as ${client.name}`,
    {
      gateway: {
        url: `https://${isIP(host) === 6 ? `[${host}]` : host}:${PORT}`,
        auth: { mode: 'shim' },
        tls: { ca: authority.cert, cert: client.cert, key: client.key },
      },
    },
  ]);
  return [
    table([['CERTIFICATE', 'KEY', 'ENDS', 'FOR'], ...rows]),
    ...[[`shim${clients.length > 0 ? ' B' : ''}, beside the gateway`, beside] as const, ...afar].map(
      ([where, part]) => `\n# ${where}\n${stringify(part, { lineWidth: 0 })}`,
    ),
  ].join('');
}

/**
 * @param pem a server's certificate, if there is one
 * @returns its names and addresses but those of loopback
 */
export function ownNames(pem: string | undefined): string[] {
  if (pem === undefined) return [];
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    // What is there is none of this command's.
    return [];
  }
  return namesOf(certificate).filter((name) => !LOCAL_NAMES.includes(name));
}

/** OpenSSL spells an IPv6 address in full, and quotes only what could be mistaken, which names here have none of. */
function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:DNS|IP Address|URI):([^,\s]+)/g)].map(([, name = '']) =>
    isIP(name) === 6 ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name,
  );
}
