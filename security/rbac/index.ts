import { count, noFindings, type Options, type Outcome, type SecurityCheck } from '../check.ts';
import { everyInstallation, type RenderedManifests } from '../manifests/render.ts';
import { type AuditReading, readAudit } from './audit.ts';
import { compare, comparisonFindings } from './compare.ts';
import { forbiddenRights } from './forbidden.ts';
import { grantedTo, type Right, rightText } from './rights.ts';

/** How an API server names the operator's service account. */
export const OPERATOR_ACCOUNT = 'system:serviceaccount:bulkhead-system:bulkhead-operator';

interface Granted {
  readonly installation: string;
  readonly rights: readonly Right[];
}

const grantedBy = (installations: readonly RenderedManifests[]): Granted[] =>
  installations
    .map(({ name, objects }) => ({ installation: name, rights: grantedTo(OPERATOR_ACCOUNT, objects) }))
    .filter(({ rights }) => rights.length > 0);

/** Installations that differ in rights are compared each by itself, and named. */
function distinct(granted: readonly Granted[]): Granted[] {
  const byRights = new Map<string, Granted>();
  for (const one of granted) {
    const key = one.rights.map(rightText).sort().join('\n');
    const same = byRights.get(key);
    byRights.set(key, same ? { ...one, installation: `${same.installation}, ${one.installation}` } : one);
  }
  return [...byRights.values()];
}

/** The right that was granted as the account of the manifests; an audit log may call it by another name. */
function compared(granted: readonly Granted[], reading: AuditReading): string[] {
  return granted.flatMap(({ installation, rights }) =>
    comparisonFindings(compare(rights, reading.requests)).map((finding) => `${installation}: ${finding}`),
  );
}

async function run({ audit, user }: Options): Promise<Outcome> {
  const granted = distinct(grantedBy(await everyInstallation()));
  const forbidden = granted.flatMap(({ installation, rights }) =>
    forbiddenRights(rights).map((finding) => `${installation}: ${finding}`),
  );
  const rights = `${granted.map((one) => `${one.rights.length} rights in ${one.installation}`).join('; ')}`;
  const none = granted.length === 0 ? [`no installation grants ${OPERATOR_ACCOUNT} anything`] : [];
  if (audit.length === 0) {
    return noFindings([...none, ...forbidden], {
      figure: `${rights}; NOT compared with use, since no --audit names the log of an end-to-end run`,
      limit: 'no wildcard, no right that must not be there',
    });
  }
  const reading = await readAudit(audit, user);
  const silent = reading.events === 0 ? [`the audit logs have no request of ${user}`] : [];
  return noFindings([...none, ...forbidden, ...silent, ...(silent.length > 0 ? [] : compared(granted, reading))], {
    figure: `${rights}; ${count(reading.events)} audit events, ${reading.requests.length} different requests`,
    limit: 'granted = used, no wildcard, no right that must not be there',
    detail: { granted: granted.map((one) => ({ ...one, rights: one.rights.map(rightText) })) },
  });
}

export const rbac: SecurityCheck = {
  row: '1',
  name: 'rbac',
  what: 'the operator has no right that it never used, and asked for none that it does not have',
  run,
};
