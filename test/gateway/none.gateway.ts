/** Mode `none`, against a real gateway: there a missing header can be full power. */
import t from 'tap';
import { contract, writerOf } from './cases/contract.ts';
import { startGateway } from './gateway.ts';
import { VERSION } from './version.ts';

const gateway = await startGateway({ version: VERSION, auth: { mode: 'none' } });
t.teardown(() => gateway.stop());
await contract(t, 'none', gateway.url, writerOf('none'));
