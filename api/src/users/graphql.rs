//! Accounts in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{ids::UserId, users};
use serde_json::{Value, json};
use store::users::UserFilter;
use uuid::Uuid;

use super::{
    activity, doctors, list, log_in, memberships::Membership, password, profile, register, set_role,
};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{
        app, asks_nodes_for, context,
        enums::Role,
        global_id::{GlobalId, NodeKind},
        loaders,
        payload::Payload,
        request,
        scalars::{Address, Time},
    },
    organizations::shown::Organization,
    page::{Connection, Node, PageArguments},
    second_factor::check::Code,
    sessions::{
        begin::LoggedIn,
        graphql::{RefreshBy, Session},
    },
};

/// A person with an account. Everybody sees the user name and the role; the e-mail address and the
/// wallet are shown to the person alone, and the address, masked, to administrators.
#[derive(Debug, Clone)]
pub(crate) struct User {
    user: Arc<users::User>,
    contact: Contact,
}

impl Node for User {
    const EDGE: &'static str = "UserEdge";
    const CONNECTION: &'static str = "UserConnection";
}

/// How much of the e-mail address is shown.
#[derive(Debug, Clone, Copy)]
enum Contact {
    Whole,
    Masked,
    Hidden,
}

impl User {
    /// As oneself sees it.
    pub(crate) fn own(user: users::User) -> Self {
        Self {
            user: Arc::new(user),
            contact: Contact::Whole,
        }
    }

    /// As an administrator sees it.
    pub(crate) fn masked(user: users::User) -> Self {
        Self {
            user: Arc::new(user),
            contact: Contact::Masked,
        }
    }

    /// As those see it who meet the name in a record or a log.
    pub(crate) fn named(user: Arc<users::User>) -> Self {
        Self {
            user,
            contact: Contact::Hidden,
        }
    }

    /// Fetches an account through the loader.
    pub(crate) async fn load(ctx: &Context<'_>, id: UserId) -> Result<Self, Error> {
        let user = loaders(ctx)?
            .user(id)
            .await?
            .ok_or(Error::NotFound("user"))?;
        Ok(Self::named(user))
    }

    /// The same, as an administrator sees it.
    pub(crate) async fn load_masked(ctx: &Context<'_>, id: UserId) -> Result<Self, Error> {
        let named = Self::load(ctx, id).await?;
        Ok(Self {
            contact: Contact::Masked,
            ..named
        })
    }

    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.user.created_at, self.user.id.0)
    }
}

/// A person with an account. Everybody sees the user name and the role; the e-mail address and the
/// wallet are shown to the person alone, and the address, masked, to administrators.
#[Object]
impl User {
    /// The global ID of the account. `node` gives your own account whole, to administrators everybody's, and to everybody that
    /// of an active doctor.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::User, self.user.id.0).into()
    }

    /// The ID of the account.
    async fn id(&self) -> Uuid {
        self.user.id.0
    }

    /// The e-mail address of the account: whole for the person, masked (`a***@example.org`) for
    /// administrators, null for everybody else.
    async fn email(&self) -> Option<String> {
        match self.contact {
            Contact::Whole => Some(self.user.email.clone()),
            Contact::Masked => Some(mask(&self.user.email)),
            Contact::Hidden => None,
        }
    }

    /// The name that the person chose and may log in with.
    async fn username(&self) -> &str {
        &self.user.username
    }

    /// The role that decides what the account may do; null for the accounts that sign what the service itself did.
    async fn role(&self) -> Option<Role> {
        (!self.user.is_system()).then(|| self.user.role.into())
    }

    /// Whether the account is active; false once it was deactivated, and then nobody can log in with
    /// it.
    async fn is_active(&self) -> bool {
        self.user.is_active
    }

    /// The address of the wallet that is linked to the account; null where none is, and for everybody
    /// but the person.
    async fn blockchain_address(&self) -> Option<Address> {
        match self.contact {
            Contact::Whole => self.user.blockchain_address.clone().map(Address),
            Contact::Masked | Contact::Hidden => None,
        }
    }

    /// The active organisations that a doctor belongs to now; none for everybody else.
    async fn organizations(&self, ctx: &Context<'_>) -> Result<Vec<Organization>> {
        if self.user.role != users::Role::Doctor {
            return Ok(Vec::new());
        }
        let known = loaders(ctx)?.memberships(self.user.id).await?;
        let now = app(ctx)?.clock.now();
        let found = known.current(now).map(Organization::new);
        Ok(found.collect())
    }

    /// The memberships of a doctor in organisations, newest first, also those that are over; null for everybody but the person
    /// and administrators.
    async fn memberships(&self, ctx: &Context<'_>) -> Result<Option<Vec<Membership>>> {
        match self.contact {
            Contact::Whole | Contact::Masked => {
                let known = loaders(ctx)?.memberships(self.user.id).await?;
                let all = known.memberships.iter().copied();
                Ok(Some(all.map(Membership::new).collect()))
            }
            Contact::Hidden => Ok(None),
        }
    }

    /// The time at which the account was made.
    async fn created_at(&self) -> Time {
        Time(self.user.created_at)
    }
}

/// Those of these accounts that the caller may see by their ids: their own whole, others as the lists of them show them.
///
/// # Errors
/// As of `me` and the lists.
pub(crate) async fn by_ids(ctx: &Context<'_>, ids: &[Uuid]) -> Result<Vec<(Uuid, User)>, Error> {
    let (app, caller) = request(ctx)?;
    let (own, others): (Vec<UserId>, Vec<UserId>) = ids
        .iter()
        .copied()
        .map(UserId)
        .partition(|id| *id == caller.user);
    let mut found = Vec::with_capacity(ids.len());
    if !own.is_empty() {
        let user = app.own_accounts.of(caller.clone()).await?;
        found.push((user.id.0, User::own(user)));
    }
    if !others.is_empty() {
        let others = list::by_ids(&app.pool, &caller, &others).await?;
        found.extend(others.into_iter().map(|it| {
            let id = it.user.id.0;
            let shown = if it.is_for_administrator {
                User::masked(it.user)
            } else {
                User::named(Arc::new(it.user))
            };
            (id, shown)
        }));
    }
    Ok(found)
}

/// The first letter and the domain: enough to recognise, too little to write to.
fn mask(email: &str) -> String {
    let (local, host) = email.split_once('@').unwrap_or((email, ""));
    format!("{}***@{host}", local.chars().next().unwrap_or('*'))
}

#[derive(Default)]
pub(crate) struct UserQuery;

#[Object]
impl UserQuery {
    /// The account of the caller. Open to every role, also without a second factor.
    async fn me(&self, ctx: &Context<'_>) -> Result<User> {
        let (app, caller) = request(ctx)?;
        Ok(User::own(app.own_accounts.of(caller).await?))
    }

    /// All accounts, newest first. Needs the role ADMIN (`FORBIDDEN` otherwise).
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the field's, one by one"
    )]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
        #[graphql(desc = "Only accounts that have this role.")] role: Option<Role>,
        #[graphql(
            desc = "True for active accounts only, false for deactivated ones only; both by default."
        )]
        is_active: Option<bool>,
        #[graphql(desc = "Only accounts whose user name begins with this text.")] search: Option<
            String,
        >,
    ) -> Result<Connection<User>> {
        let (app, caller) = request(ctx)?;
        let filter = UserFilter {
            role: role.map(Into::into),
            is_active,
            username_prefix: search.as_deref().map(users::fold),
        };
        let arguments = json!([filter.role, filter.is_active, filter.username_prefix]);
        let cursors = ListCursors::of(&app.index_key, "users", caller.user, &arguments);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let by_id = range.by(|(at, id)| (at, UserId(id)));
        let users = list::list(&app.pool, &caller, &filter, by_id).await?;
        let users = users.into_iter().map(User::masked).collect();
        let page = Connection::of_range(users, &range, |user: &User| cursors.at(&user.page_key()));
        Ok(page)
    }

    /// Active doctors whose user name fits `search`, newest account first, to name one in a consent. Open to every account; no
    /// e-mail address is shown. Searching is recorded in the audit trail.
    ///
    /// Error codes: `BAD_USER_INPUT` (`search`).
    async fn doctors(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The beginnings of words of the user name, in any order, at least 2 letters or digits in all. A name is divided at `.`, `-` and `_`: `bo` finds `dr.bo`. At most 50 characters."
        )]
        search: String,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
    ) -> Result<Connection<User>> {
        let (app, caller) = request(ctx)?;
        let arguments = json!([users::words(&search)]);
        let cursors = ListCursors::of(&app.index_key, "doctors", caller.user, &arguments);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let by_id = range.by(|(at, id)| (at, UserId(id)));
        let found = doctors::search(&app.pool, &caller, &search, by_id).await?;
        let found = found.into_iter().map(|user| User::named(Arc::new(user)));
        let page = Connection::of_range(found.collect(), &range, |user: &User| {
            cursors.at(&user.page_key())
        });
        Ok(page)
    }

    /// Changes of role that one administrator proposed and a second one has not confirmed, newest
    /// first. Needs the role ADMIN (`FORBIDDEN` otherwise). A second administrator confirms one by
    /// asking for the same with `setRole`.
    async fn role_proposals(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
    ) -> Result<Connection<RoleProposal>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(&app.index_key, "roleProposals", caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let found = set_role::waiting(&app.pool, &app.seals, &caller, range).await?;
        if asks_nodes_for(ctx, &["user", "proposedBy"]) {
            let people = found.iter().flat_map(|it| [it.user, it.proposed_by]);
            loaders(ctx)?.prepare_users(people.collect()).await;
        }
        let proposals = found.into_iter().map(RoleProposal).collect();
        let page = Connection::of_range(proposals, &range, |it: &RoleProposal| {
            cursors.at(&it.page_key())
        });
        Ok(page)
    }
}

/// A change of role that one administrator proposed and that waits for a second administrator.
#[derive(Debug, Clone)]
pub(crate) struct RoleProposal(domain::seals::RoleProposal);

impl Node for RoleProposal {
    const EDGE: &'static str = "RoleProposalEdge";
    const CONNECTION: &'static str = "RoleProposalConnection";
}

impl RoleProposal {
    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.0.proposed_at, self.0.id)
    }
}

/// A change of role that one administrator proposed and that waits for a second administrator.
#[Object]
impl RoleProposal {
    /// The ID of the proposal, as the rows of the audit trail name it.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// The account whose role is to change.
    async fn user(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.user).await?)
    }

    /// The role that the account is to have.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// The administrator who proposed the change, and who cannot confirm it.
    async fn proposed_by(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.proposed_by).await?)
    }

    /// The time at which the change was proposed.
    async fn proposed_at(&self) -> Time {
        Time(self.0.proposed_at)
    }

    /// The time until which a second administrator may confirm the change.
    async fn expires_at(&self) -> Time {
        Time(self.0.expires_at)
    }
}

/// The data of a new account.
#[derive(Debug, InputObject)]
pub(crate) struct RegisterInput {
    /// The e-mail address of the account, at most 255 characters. No other account may have it.
    email: String,
    /// The user name, which no other account may have: 3 to 50 letters of one script, digits, dots,
    /// hyphens or underscores; it starts with a letter. Capitals and different encodings of a letter
    /// make no difference.
    username: String,
    /// The password, of at least 12 characters and at most 1,024 bytes, and not easy to guess: no
    /// common password, no pattern, none of the own names.
    password: String,
}

/// The result of `register`: the account that was made.
#[derive(Debug, SimpleObject)]
pub(crate) struct RegisterPayload {
    /// The new account, which has the role PATIENT. Log in with `logIn`.
    user: User,
}

/// The credentials that a person logs in with.
#[derive(Debug, InputObject)]
pub(crate) struct LogInInput {
    /// The e-mail address or the user name of the account.
    login: String,
    /// The password of the account.
    password: String,
    /// A six-digit code of the second factor, or a recovery code. Needed where the answer without it is
    /// `SECOND_FACTOR_REQUIRED`.
    code: Option<String>,
    /// How the refresh token is handed over: `TOKEN` where it is left out.
    refresh_by: Option<RefreshBy>,
}

/// The result of a log-in: a new session and its tokens.
#[derive(Debug, SimpleObject)]
pub(crate) struct LogInPayload {
    /// The access token: send it with every request, as `Authorization: Bearer <accessToken>`.
    access_token: String,
    /// The time at which the access token expires, ten minutes after it was issued.
    expires_at: Time,
    /// The refresh token: `refreshSession` exchanges it, once, for the next pair of tokens. Keep it as
    /// secret as a password. Null where it was handed over as a cookie.
    refresh_token: Option<String>,
    /// The time at which the refresh token expires if it is not used.
    refresh_expires_at: Time,
    /// The session that the log-in began.
    session: Session,
    /// The account that is logged in.
    user: User,
    /// How many of the account's older log-ins were ended by this one: there are at most 20, and the oldest
    /// ends. Each has its row in the audit trail.
    ended_sessions: i32,
}

impl LogInPayload {
    /// Of somebody who has just logged in, whose refresh token is handed over so.
    pub(crate) fn of(
        ctx: &Context<'_>,
        logged_in: LoggedIn,
        by: RefreshBy,
        now: DateTime<Utc>,
    ) -> Self {
        let LoggedIn {
            user,
            granted,
            ended,
        } = logged_in;
        let refresh_token = by.hand_over(ctx, &granted, now);
        Self {
            access_token: granted.access_token,
            expires_at: Time(granted.expires_at),
            refresh_token,
            refresh_expires_at: Time(granted.refresh_expires_at),
            session: Session::new(granted.log_in, true),
            user: User::own(user),
            ended_sessions: i32::try_from(ended).unwrap_or(i32::MAX),
        }
    }
}

/// The account whose role is to change, and the role it is to have.
#[derive(Debug, InputObject)]
pub(crate) struct SetRoleInput {
    /// The ID of the account; not the caller's own.
    user_id: Uuid,
    /// The role to give. Giving or taking the role ADMIN needs two administrators.
    role: Role,
}

/// Whether a change of role took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum SetRoleOutcome {
    /// The account has the role now.
    Done,
    /// The change is proposed: it takes effect once a second administrator asks for the same.
    Waiting,
}

/// The result of `setRole`: the account, and whether it has its new role.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetRolePayload {
    /// The account as it is now, with its e-mail address masked.
    user: User,
    /// Whether the role was given, or waits for a second administrator.
    outcome: SetRoleOutcome,
    /// The time until which a second administrator may ask for the same; null where nothing waits.
    confirm_before: Option<Time>,
}

/// The password to replace and the new one.
#[derive(Debug, InputObject)]
pub(crate) struct ChangePasswordInput {
    /// The password that the account has until now.
    current_password: String,
    /// The new password, of at least 12 characters and at most 1,024 bytes, and not easy to guess: no
    /// common password, no pattern, none of the own names.
    new_password: String,
}

/// The result of `changePassword`: the sessions it ended.
#[derive(Debug, SimpleObject)]
pub(crate) struct ChangePasswordPayload {
    /// The number of other sessions of the account that were ended.
    ended_sessions: i32,
}

/// What to change of the account. A field that is left out stays as it is; give at least one.
#[derive(Debug, InputObject)]
pub(crate) struct UpdateProfileInput {
    /// The password of the account, as proof of who asks.
    current_password: String,
    /// The new e-mail address; null to keep the present one.
    email: Option<String>,
    /// The new user name, by the rules of `register`; null to keep the present one.
    username: Option<String>,
}

/// The result of `updateProfile`: the changed account.
#[derive(Debug, SimpleObject)]
pub(crate) struct UpdateProfilePayload {
    /// The account as it is now.
    user: User,
}

/// The proof that the owner of the account asks for its deactivation.
#[derive(Debug, InputObject)]
pub(crate) struct DeactivateAccountInput {
    /// The password of the account that is to be deactivated.
    current_password: String,
}

/// The account to deactivate or to make active again.
#[derive(Debug, InputObject)]
pub(crate) struct UserActivityInput {
    /// The ID of the account.
    user_id: Uuid,
}

/// The account after it was deactivated or made active again.
#[derive(Debug, SimpleObject)]
pub(crate) struct UserActivityPayload {
    /// The account as it is now: see `isActive`.
    user: User,
}

#[derive(Default)]
pub(crate) struct UserMutation;

#[Object]
impl UserMutation {
    /// Makes an account with the role PATIENT. Needs no session.
    ///
    /// Error codes: `BAD_USER_INPUT` (`email`, `username`, `password`), `CONFLICT` (`email`,
    /// `username`: taken), `THROTTLED`.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The data of the new account.")] input: RegisterInput,
    ) -> Result<Payload<RegisterPayload>> {
        let (app, context) = (app(ctx)?, context(ctx)?);
        let user = register::register(
            app.credentials(),
            context,
            &input.email,
            &input.username,
            &input.password,
        )
        .await?;
        Ok(Payload(RegisterPayload {
            user: User::own(user),
        }))
    }

    /// Begins a session with a password and, where the account has one, a code of its second factor.
    /// Needs no session.
    ///
    /// Error codes: `WRONG_CREDENTIALS`, whatever was wrong; `SECOND_FACTOR_REQUIRED` where only the
    /// code is missing; `FORBIDDEN` where a cookie is asked for without `X-Meditrustal-Csrf: 1` or by a
    /// foreign page; `BAD_USER_INPUT` (`refreshBy`: an event stream carries no cookie); `THROTTLED`.
    async fn log_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credentials of the account.")] input: LogInInput,
    ) -> Result<Payload<LogInPayload>> {
        let (app, context) = (app(ctx)?, context(ctx)?);
        let by = RefreshBy::chosen(ctx, input.refresh_by)?;
        let code = Code(input.code);
        let logged_in = log_in::log_in(
            app.credentials(),
            app.session_issuer(),
            context,
            &input.login,
            &input.password,
            &code,
        )
        .await?;
        let now = app.clock.now();
        Ok(Payload(LogInPayload::of(ctx, logged_in, by, now)))
    }

    /// Changes the caller's password and ends all other sessions of the account.
    ///
    /// Error codes: `BAD_USER_INPUT` (`newPassword`), `WRONG_CREDENTIALS`, `CONFLICT`
    /// (`currentPassword`: the password was changed at the same time), `THROTTLED`.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The present password and the new one.")] input: ChangePasswordInput,
    ) -> Result<Payload<ChangePasswordPayload>> {
        let (app, caller) = request(ctx)?;
        let (current, new) = (&input.current_password, &input.new_password);
        let ended = password::change(app.credentials(), &caller, current, new).await?;
        Ok(Payload(ChangePasswordPayload {
            ended_sessions: i32::try_from(ended).unwrap_or(i32::MAX),
        }))
    }

    /// Changes the caller's e-mail address, user name, or both.
    ///
    /// Error codes: `BAD_USER_INPUT` (`email`, `username`), `WRONG_CREDENTIALS`, `CONFLICT` (`email`,
    /// `username`: taken), `THROTTLED`.
    async fn update_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The fields to change, and the password.")] input: UpdateProfileInput,
    ) -> Result<Payload<UpdateProfilePayload>> {
        let (app, caller) = request(ctx)?;
        let (email, username) = (input.email.as_deref(), input.username.as_deref());
        let user = profile::update(
            app.credentials(),
            &caller,
            &input.current_password,
            email,
            username,
        )
        .await?;
        Ok(Payload(UpdateProfilePayload {
            user: User::own(user),
        }))
    }

    /// Deactivates the caller's account and ends all its sessions. Nobody can log in with it until an
    /// administrator makes it active again. Records and consents stay as they are.
    ///
    /// Error codes: `WRONG_CREDENTIALS`, `CONFLICT` (`userId`: the last active administrator),
    /// `THROTTLED`.
    async fn deactivate_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The proof that the owner asks.")] input: DeactivateAccountInput,
    ) -> Result<Payload<UserActivityPayload>> {
        let (app, caller) = request(ctx)?;
        let user =
            activity::deactivate_own(app.credentials(), &caller, &input.current_password).await?;
        Ok(Payload(UserActivityPayload {
            user: User::own(user),
        }))
    }

    /// Deactivates another person's account and ends all its sessions. Needs the role ADMIN.
    ///
    /// Error codes: `FORBIDDEN`, `NOT_FOUND`, `BAD_USER_INPUT` (`userId`: the caller's own account, or
    /// an administrator's).
    async fn deactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account that is to be deactivated.")] input: UserActivityInput,
    ) -> Result<Payload<UserActivityPayload>> {
        let (app, caller) = request(ctx)?;
        let user =
            activity::set_of(&app.pool, &app.seals, &caller, UserId(input.user_id), false).await?;
        Ok(Payload(UserActivityPayload {
            user: User::masked(user),
        }))
    }

    /// Makes a deactivated account active again. Needs the role ADMIN.
    ///
    /// Error codes: `FORBIDDEN`, `NOT_FOUND`, `BAD_USER_INPUT` (`userId`: the caller's own account, or
    /// an administrator's), `CONFLICT` (`userId`: the account was erased).
    async fn reactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account that is to be active again.")] input: UserActivityInput,
    ) -> Result<Payload<UserActivityPayload>> {
        let (app, caller) = request(ctx)?;
        let user =
            activity::set_of(&app.pool, &app.seals, &caller, UserId(input.user_id), true).await?;
        Ok(Payload(UserActivityPayload {
            user: User::masked(user),
        }))
    }

    /// Gives an account a role. Needs the role ADMIN. One administrator suffices to make a doctor or a
    /// patient; to give or take the role ADMIN, two administrators ask for the same within a day.
    ///
    /// Error codes: `FORBIDDEN`, `NOT_FOUND`, `BAD_USER_INPUT` (`userId`: the caller's own account),
    /// `CONFLICT` (`userId`: the last active administrator, or an account that was erased),
    /// `LIMIT_REACHED` (50 proposals of the caller wait).
    async fn set_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account and the role it is to have.")] input: SetRoleInput,
    ) -> Result<Payload<SetRolePayload>> {
        let (app, caller) = request(ctx)?;
        let (user, outcome) = set_role::set_role(
            &app.pool,
            &app.seals,
            &caller,
            UserId(input.user_id),
            input.role.into(),
        )
        .await?;
        let (outcome, confirm_before) = match outcome {
            set_role::RoleChange::Done => (SetRoleOutcome::Done, None),
            set_role::RoleChange::Waits { until } => (SetRoleOutcome::Waiting, Some(until)),
        };
        Ok(Payload(SetRolePayload {
            user: User::masked(user),
            outcome,
            confirm_before: confirm_before.map(Time),
        }))
    }
}
