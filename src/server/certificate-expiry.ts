/** Certificates of the shim that end soon, told while it runs. */
import type { CertificateInUse } from '../config/config.ts';
import { formatInstant } from '../config/units.ts';
import { SOON } from '../config/warnings.ts';
import type { Logger } from '../observe/log.ts';

const DAY = 86_400_000;

/** Looks at the certificates in use, and tells of each that ends within 14 days, once a day. */
export interface ExpiryWatch {
  /** Those of a configuration that was just loaded: its own warnings have told of them. */
  loaded(certificates: readonly CertificateInUse[]): void;
  look(certificates: readonly CertificateInUse[]): void;
}

/**
 * @param logger is told
 * @param clock milliseconds since the epoch; asked only where there is a certificate
 * @returns the watch
 */
export function createExpiryWatch(logger: Pick<Logger, 'warn'>, clock: () => number): ExpiryWatch {
  const told = new Map<string, number>();
  return {
    loaded(certificates) {
      told.clear();
      if (certificates.length === 0) return;
      const now = clock();
      for (const { key } of soon(certificates, now)) told.set(key, now);
    },
    look(certificates) {
      if (certificates.length === 0) return;
      const now = clock();
      for (const { key, notAfter } of soon(certificates, now)) {
        if (now - (told.get(key) ?? -Infinity) < DAY) continue;
        told.set(key, now);
        logger.warn(
          { path: key },
          `the certificate ${notAfter <= now ? 'has expired' : 'expires'} at ${formatInstant(notAfter)}`,
        );
      }
    },
  };
}

function soon(certificates: readonly CertificateInUse[], now: number): readonly CertificateInUse[] {
  return certificates.filter(({ notAfter }) => notAfter - now <= SOON);
}
