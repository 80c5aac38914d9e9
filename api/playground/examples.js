// The tabs a new visitor finds. The operations are files of their own, so that a test can
// hold them against schema.graphql.
import { operationNames } from './operation.js';
import welcome from './examples/1-welcome.graphql';
import logIn from './examples/2-log-in.graphql';
import logInVariables from './examples/2-log-in.json';
import myRecords from './examples/3-my-records.graphql';
import oneRecord from './examples/4-one-record.graphql';
import oneRecordVariables from './examples/4-one-record.json';
import createRecord from './examples/5-create-record.graphql';
import createRecordVariables from './examples/5-create-record.json';
import grantConsent from './examples/6-grant-consent.graphql';
import grantConsentVariables from './examples/6-grant-consent.json';
import accessLog from './examples/7-access-log.graphql';
import integrityEvents from './examples/8-integrity-events.graphql';
import search from './examples/9-search.graphql';
import amendRecord from './examples/10-amend-record.graphql';
import amendRecordVariables from './examples/10-amend-record.json';
import withdrawRecord from './examples/11-withdraw-record.graphql';
import withdrawRecordVariables from './examples/11-withdraw-record.json';
import whoHasAccess from './examples/12-who-has-access.graphql';
import whoHasAccessVariables from './examples/12-who-has-access.json';
import accessCode from './examples/13-access-code.graphql';
import accessCodeVariables from './examples/13-access-code.json';
import breakGlass from './examples/14-break-glass.graphql';
import breakGlassVariables from './examples/14-break-glass.json';
import notifications from './examples/15-notifications.graphql';
import requestDeletion from './examples/16-request-deletion.graphql';
import requestDeletionVariables from './examples/16-request-deletion.json';
import emergencyReviews from './examples/17-emergency-reviews.graphql';
import reviewEmergency from './examples/18-review-emergency.graphql';
import reviewEmergencyVariables from './examples/18-review-emergency.json';
import deletionCertificate from './examples/19-deletion-certificate.graphql';
import deletionCertificateVariables from './examples/19-deletion-certificate.json';
import recordUpdates from './examples/20-record-updates.graphql';
import recordUpdatesVariables from './examples/20-record-updates.json';

/** Stands in the examples' variables for the id of whoever logs in. */
export const OWN_ID = '<your id>';
/** Stands there for the id of one of their records. */
export const RECORD_ID = '<id of your record>';

/** The examples by what they are about, in the order of their tabs. */
const GROUPS = {
  Begin: [{ query: welcome }, { query: logIn, variables: logInVariables }],
  Records: [
    { query: myRecords },
    { query: search },
    { query: oneRecord, variables: oneRecordVariables },
    { query: createRecord, variables: createRecordVariables },
    { query: amendRecord, variables: amendRecordVariables },
    { query: withdrawRecord, variables: withdrawRecordVariables },
  ],
  Consents: [
    { query: grantConsent, variables: grantConsentVariables },
    { query: accessCode, variables: accessCodeVariables },
    { query: whoHasAccess, variables: whoHasAccessVariables },
  ],
  Emergencies: [
    { query: breakGlass, variables: breakGlassVariables },
    { query: emergencyReviews },
    { query: reviewEmergency, variables: reviewEmergencyVariables },
  ],
  Deletion: [
    { query: requestDeletion, variables: requestDeletionVariables },
    { query: deletionCertificate, variables: deletionCertificateVariables },
  ],
  'What happened': [{ query: notifications }, { query: accessLog }, { query: integrityEvents }, { query: recordUpdates, variables: recordUpdatesVariables }],
};

/** What the tabs are about that a visitor opened. */
const OWN_GROUP = 'Your own';

export const examples = Object.values(GROUPS).flat();

const groupOfName = new Map(
  Object.entries(GROUPS).flatMap(([group, ofGroup]) => ofGroup.map(({ query }) => [operationNames(query)[0], group])),
);

/** What a tab is about, by the name of its operation, which is its title. */
export const groupOf = ({ title }) => groupOfName.get(title) ?? OWN_GROUP;
