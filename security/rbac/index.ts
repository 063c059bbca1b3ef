import { count, noFindings, type Options, type Outcome, type SecurityCheck } from '../check.ts';
import { everyInstallation, type RenderedManifests } from '../manifests/render.ts';
import { type AuditReading, readAudit } from './audit.ts';
import { compare, comparisonFindings } from './compare.ts';
import { forbiddenRights } from './forbidden.ts';
import { grantedTo, type Right, rightText } from './rights.ts';

/** How an API server names the operator's service account. */
export const OPERATOR_ACCOUNT = 'system:serviceaccount:bulkhead-system:bulkhead-operator';
/** Whose rights an audit log is held against unless somebody says otherwise. */
export const USUAL_INSTALLATION = 'overlays/production';

interface Granted {
  /** Those that grant just these rights. */
  readonly installations: readonly string[];
  readonly rights: readonly Right[];
}

const grantedBy = (installations: readonly RenderedManifests[]): Granted[] =>
  installations
    .map(({ name, objects }) => ({ installations: [name], rights: grantedTo(OPERATOR_ACCOUNT, objects) }))
    .filter(({ rights }) => rights.length > 0);

/** Installations that grant the same are one. */
function distinct(granted: readonly Granted[]): Granted[] {
  const byRights = new Map<string, Granted>();
  for (const one of granted) {
    const key = one.rights.map(rightText).sort().join('\n');
    const same = byRights.get(key);
    byRights.set(key, same ? { ...one, installations: [...same.installations, ...one.installations] } : one);
  }
  return [...byRights.values()];
}

/** The rights of the installation that the audit logs are of, held against what its operator asked for. */
function compared(granted: readonly Granted[], installation: string, { requests, events }: AuditReading): string[] {
  const one = granted.find(({ installations }) => installations.includes(installation));
  if (!one) return [`no installation ${installation} grants ${OPERATOR_ACCOUNT} anything`];
  if (events === 0) return ['the audit logs have no request of the user'];
  return comparisonFindings(compare(one.rights, requests));
}

async function run({ audit, user, installation }: Options): Promise<Outcome> {
  const granted = distinct(grantedBy(await everyInstallation()));
  const forbidden = granted.flatMap(({ installations, rights }) =>
    forbiddenRights(rights).map((finding) => `${installations.join(', ')}: ${finding}`),
  );
  const rights = granted.map((one) => `${one.rights.length} rights in ${one.installations.join(', ')}`).join('; ');
  const none = granted.length === 0 ? [`no installation grants ${OPERATOR_ACCOUNT} anything`] : [];
  if (audit.length === 0) {
    return noFindings([...none, ...forbidden], {
      figure: `${rights}; NOT compared with use, since no --audit names the log of an end-to-end run`,
      limit: 'no wildcard, no right that must not be there',
    });
  }
  const reading = await readAudit(audit, user);
  return noFindings([...none, ...forbidden, ...compared(granted, installation, reading)], {
    figure: `${rights}; ${count(reading.events)} audit events, ${reading.requests.length} different requests`,
    limit: 'granted = used, no wildcard, no right that must not be there',
    detail: { installation, granted: granted.map((one) => ({ ...one, rights: one.rights.map(rightText) })) },
  });
}

export const rbac: SecurityCheck = {
  row: '1',
  name: 'rbac',
  what: 'the operator has no right that it never used, and asked for none that it does not have',
  run,
};
