/** Certificates of the shim that end soon, told while it runs. */
import type { CertificateInUse } from '../config/config.ts';
import { formatInstant } from '../config/units.ts';
import { SOON } from '../config/warnings.ts';
import type { Logger } from '../observe/log.ts';

const DAY = 86_400_000;

/** Looks at the certificates in use, and tells of each that ends within 14 days, once a day, and when it has ended. */
export interface ExpiryWatch {
  /** Those of a configuration that was just loaded: its own warnings have told of them. */
  loaded(certificates: readonly CertificateInUse[]): void;
  look(certificates: readonly CertificateInUse[]): void;
  /** @returns words for readiness about those that have ended, if there are any */
  detail(certificates: readonly CertificateInUse[]): string | undefined;
}

/**
 * @param logger is told
 * @param clock milliseconds since the epoch; asked only where there is a certificate
 * @returns the watch
 */
export function createExpiryWatch(logger: Pick<Logger, 'warn'>, clock: () => number): ExpiryWatch {
  /** By key: when it was told, and whether it had ended by then. */
  const told = new Map<string, { readonly at: number; readonly ended: boolean }>();
  return {
    loaded(certificates) {
      told.clear();
      if (certificates.length === 0) return;
      const now = clock();
      for (const { key, notAfter } of soon(certificates, now)) told.set(key, { at: now, ended: notAfter <= now });
    },
    look(certificates) {
      if (certificates.length === 0) return;
      const now = clock();
      for (const { key, notAfter } of soon(certificates, now)) {
        const ended = notAfter <= now;
        const before = told.get(key);
        if (before && now - before.at < DAY && before.ended === ended) continue;
        told.set(key, { at: now, ended });
        logger.warn(
          { path: key },
          `the certificate ${ended ? 'has expired' : 'expires'} at ${formatInstant(notAfter)}`,
        );
      }
    },
    detail(certificates) {
      if (certificates.length === 0) return undefined;
      const now = clock();
      const ended = certificates.filter(({ notAfter }) => notAfter <= now).map(({ key }) => key);
      return ended.length > 0 ? `expired: ${ended.join(', ')}` : undefined;
    },
  };
}

function soon(certificates: readonly CertificateInUse[], now: number): readonly CertificateInUse[] {
  return certificates.filter(({ notAfter }) => notAfter - now <= SOON);
}
