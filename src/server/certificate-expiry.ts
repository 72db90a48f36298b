/** Certificates of the shim that end soon, told while it runs. */
import type { CertificateInUse } from '../config/config.ts';
import type { Logger } from '../observe/log.ts';

const DAY = 86_400_000;
const SOON = 14 * DAY;

/** Looks at the certificates in use, and tells of each that ends within 14 days, once a day. */
export interface ExpiryWatch {
  /** Those of a configuration that was just loaded: its own warnings have told of them. */
  loaded(certificates: readonly CertificateInUse[], now: number): void;
  look(certificates: readonly CertificateInUse[], now: number): void;
}

/**
 * @param logger is told
 * @returns the watch; its times are milliseconds since the epoch
 */
export function createExpiryWatch(logger: Pick<Logger, 'warn'>): ExpiryWatch {
  const told = new Map<string, number>();
  return {
    loaded(certificates, now) {
      told.clear();
      for (const { key } of soon(certificates, now)) told.set(key, now);
    },
    look(certificates, now) {
      for (const { key, notAfter } of soon(certificates, now)) {
        if (now - (told.get(key) ?? -Infinity) < DAY) continue;
        told.set(key, now);
        const at = new Date(notAfter).toISOString().slice(0, 16).replace('T', ' ');
        logger.warn({ path: key }, `the certificate ${notAfter <= now ? 'has expired' : 'expires'} at ${at} UTC`);
      }
    },
  };
}

function soon(certificates: readonly CertificateInUse[], now: number): readonly CertificateInUse[] {
  return certificates.filter(({ notAfter }) => notAfter - now <= SOON);
}
