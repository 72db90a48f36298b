import t from 'tap';
import { foldName } from '../../src/headers/families.ts';
import { isStandardHeader } from '../../src/headers/standard.ts';

void t.test('names that everybody knows, in any spelling', async (t) => {
  for (const name of [
    'X-Forwarded-User',
    'x_auth_request_email',
    'Remote-User',
    'Tailscale-User-Login',
    'X-User-Email',
  ])
    t.equal(isStandardHeader(foldName(name)), true, name);
});

void t.test('any other name may be a secret', async (t) => {
  for (const name of ['', 'x-id-7f3a', 'x-forwarded', 'x-user-7f3a', 'x-users', 'authorization', 'x-real-ip x-user'])
    t.equal(isStandardHeader(foldName(name)), false, name);
});
