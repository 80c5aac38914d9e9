//! Accounts in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{ids::UserId, users};
use store::{role_proposals, users::UserFilter};
use uuid::Uuid;

use super::{activity, list, log_in, password, profile, register, set_role};
use crate::{
    app::App,
    error::Error,
    graphql::{app, asks_nodes_for, enums::Role, loaders, request, scalars::Address, visit},
    page::{self, Connection, Cursor},
    second_factor::demand::Code,
    sessions::{begin::LoggedIn, graphql::Session},
};

/// A person with an account. Address and name are shown to themselves and, masked, to administrators;
/// others see the user name and the role.
#[derive(Debug, Clone)]
pub(crate) struct User {
    user: Arc<users::User>,
    contact: Contact,
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

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_moment(self.user.created_at, self.user.id.0)
    }
}

/// A person with an account. Address and name are shown to themselves and, masked, to administrators;
/// others see the user name and the role.
#[Object]
impl User {
    /// Who.
    async fn id(&self) -> Uuid {
        self.user.id.0
    }

    /// Where mail reaches them; masked for administrators, null for others.
    async fn email(&self) -> Option<String> {
        match self.contact {
            Contact::Whole => Some(self.user.email.clone()),
            Contact::Masked => Some(mask(&self.user.email)),
            Contact::Hidden => None,
        }
    }

    /// What they call themselves.
    async fn username(&self) -> &str {
        &self.user.username
    }

    /// What the account may be used for.
    async fn role(&self) -> Role {
        self.user.role.into()
    }

    /// False once deactivated.
    async fn is_active(&self) -> bool {
        self.user.is_active
    }

    /// A linked wallet; null for others.
    async fn blockchain_address(&self) -> Option<Address> {
        match self.contact {
            Contact::Whole => self.user.blockchain_address.clone().map(Address),
            Contact::Masked | Contact::Hidden => None,
        }
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.user.created_at
    }
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
    /// The account that is logged in.
    async fn me(&self, ctx: &Context<'_>) -> Result<User> {
        let (app, caller) = request(ctx)?;
        Ok(User::own(list::own(app, &caller).await?))
    }

    /// Every account, newest first. Needs the role ADMIN.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
        #[graphql(desc = "Only accounts of this role.")] role: Option<Role>,
        #[graphql(desc = "Only active accounts, or only deactivated ones.")] is_active: Option<
            bool,
        >,
        #[graphql(desc = "Only accounts whose user name begins with this.")] search: Option<String>,
    ) -> Result<Connection<User>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let from = after.as_ref().map(Cursor::moment).transpose()?;
        let filter = UserFilter {
            role: role.map(Into::into),
            is_active,
            username_prefix: search.as_deref().map(users::fold),
        };
        let from = from.map(|(at, id)| (at, UserId(id)));
        let users = list::list(app, &caller, &filter, from, size).await?;
        let users = users.into_iter().map(User::masked).collect();
        Ok(Connection::new(users, size, after.is_some(), User::cursor))
    }

    /// Roles that one administrator proposed and that wait for another one, newest first. Needs the role
    /// ADMIN. To confirm one, ask for the same by `setRole`.
    async fn role_proposals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
    ) -> Result<Connection<RoleProposal>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let from = after.as_ref().map(Cursor::moment).transpose()?;
        let found = set_role::waiting(app, &caller, from, size).await?;
        if asks_nodes_for(ctx, &["user", "proposedBy"]) {
            let people = found.iter().flat_map(|it| [it.user, it.proposed_by]);
            loaders(ctx)?.prepare_users(people.collect()).await;
        }
        let proposals = found.into_iter().map(RoleProposal).collect();
        Ok(Connection::new(
            proposals,
            size,
            after.is_some(),
            RoleProposal::cursor,
        ))
    }
}

/// A role that one administrator proposed and that waits for another one.
#[derive(Debug, Clone)]
pub(crate) struct RoleProposal(role_proposals::RoleProposal);

impl RoleProposal {
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_moment(self.0.proposed_at, self.0.id)
    }
}

/// A role that one administrator proposed and that waits for another one.
#[Object]
impl RoleProposal {
    /// Its id, as the audit rows name it.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// Whose role.
    async fn user(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.user).await?)
    }

    /// Which.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// By whom it was proposed.
    async fn proposed_by(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.proposed_by).await?)
    }

    /// When.
    async fn proposed_at(&self) -> DateTime<Utc> {
        self.0.proposed_at
    }

    /// Until when it may be confirmed.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }
}

/// A new account.
#[derive(Debug, InputObject)]
pub(crate) struct RegisterInput {
    /// Where mail reaches you.
    email: String,
    /// 3 to 50 letters of one script, digits, dots, hyphens or underscores; starts with a letter.
    /// Capitals and ways of typing a letter make no difference.
    username: String,
    /// At least 12 characters.
    password: String,
}

/// The new account.
#[derive(Debug, SimpleObject)]
pub(crate) struct RegisterPayload {
    /// The account, a patient's.
    user: User,
}

/// Who logs in.
#[derive(Debug, InputObject)]
pub(crate) struct LogInInput {
    /// The e-mail address or the user name.
    login: String,
    /// The password.
    password: String,
    /// A code of the second factor, or a recovery code; asked for by `SECOND_FACTOR_REQUIRED`.
    code: Option<String>,
}

/// A session.
#[derive(Debug, SimpleObject)]
pub(crate) struct LogInPayload {
    /// Send it with every request: `Authorization: Bearer <accessToken>`.
    access_token: String,
    /// Until when it is good: ten minutes.
    expires_at: DateTime<Utc>,
    /// Exchange it by `refreshSession` for the next access token, once. Keep it as you would a password.
    refresh_token: String,
    /// Until when it is good, unused.
    refresh_expires_at: DateTime<Utc>,
    /// The log-in.
    session: Session,
    /// Who is logged in.
    user: User,
}

impl From<LoggedIn> for LogInPayload {
    fn from(LoggedIn { user, granted }: LoggedIn) -> Self {
        Self {
            access_token: granted.access_token,
            expires_at: granted.expires_at,
            refresh_token: granted.refresh_token.reveal(),
            refresh_expires_at: granted.refresh_expires_at,
            session: Session::new(granted.log_in, true),
            user: User::own(user),
        }
    }
}

/// Who becomes what.
#[derive(Debug, InputObject)]
pub(crate) struct SetRoleInput {
    /// Whose role.
    user_id: Uuid,
    /// Which one. ADMIN is given, and taken, by two administrators.
    role: Role,
}

/// Whether a role was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum SetRoleOutcome {
    /// The account has the role.
    Done,
    /// Another administrator has to ask for the same.
    Waiting,
}

/// The account, and whether it has its new role.
#[derive(Debug, SimpleObject)]
pub(crate) struct SetRolePayload {
    /// The account as it is now.
    user: User,
    /// Whether the role was given, or waits for a second administrator.
    outcome: SetRoleOutcome,
    /// Until when a second administrator may ask for the same; null where nothing waits.
    confirm_before: Option<DateTime<Utc>>,
}

/// A new password.
#[derive(Debug, InputObject)]
pub(crate) struct ChangePasswordInput {
    /// The password until now.
    current_password: String,
    /// At least 12 characters.
    new_password: String,
}

/// A changed password.
#[derive(Debug, SimpleObject)]
pub(crate) struct ChangePasswordPayload {
    /// How many other log-ins were ended.
    ended_sessions: i32,
}

/// What to change; leave out what stays.
#[derive(Debug, InputObject)]
pub(crate) struct UpdateProfileInput {
    /// Your password.
    current_password: String,
    /// Where mail is to reach you.
    email: Option<String>,
    /// What you want to be called.
    username: Option<String>,
}

/// The changed account.
#[derive(Debug, SimpleObject)]
pub(crate) struct UpdateProfilePayload {
    /// The account.
    user: User,
}

/// That it is you.
#[derive(Debug, InputObject)]
pub(crate) struct DeactivateAccountInput {
    /// Your password.
    current_password: String,
}

/// Which account.
#[derive(Debug, InputObject)]
pub(crate) struct UserActivityInput {
    /// Whose account.
    user_id: Uuid,
}

/// The account, active or not.
#[derive(Debug, SimpleObject)]
pub(crate) struct UserActivityPayload {
    /// The account.
    user: User,
}

#[derive(Default)]
pub(crate) struct UserMutation;

#[Object]
impl UserMutation {
    /// Makes an account. Everybody begins as a patient.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new account.")] input: RegisterInput,
    ) -> Result<RegisterPayload> {
        let (app, visit): (&App, _) = (app(ctx)?, visit(ctx)?);
        let user =
            register::register(app, visit, &input.email, &input.username, &input.password).await?;
        Ok(RegisterPayload {
            user: User::own(user),
        })
    }

    /// Logs in with a password.
    async fn log_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who logs in.")] input: LogInInput,
    ) -> Result<LogInPayload> {
        let (app, visit): (&App, _) = (app(ctx)?, visit(ctx)?);
        let code = Code(input.code);
        let logged_in = log_in::log_in(app, visit, &input.login, &input.password, &code).await?;
        Ok(logged_in.into())
    }

    /// Changes your password. All your other log-ins are ended.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A new password.")] input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload> {
        let (app, caller) = request(ctx)?;
        let (current, new) = (&input.current_password, &input.new_password);
        let ended = password::change(app, &caller, current, new).await?;
        Ok(ChangePasswordPayload {
            ended_sessions: i32::try_from(ended).unwrap_or(i32::MAX),
        })
    }

    /// Changes your address or your user name.
    async fn update_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateProfileInput,
    ) -> Result<UpdateProfilePayload> {
        let (app, caller) = request(ctx)?;
        let (email, username) = (input.email.as_deref(), input.username.as_deref());
        let user = profile::update(app, &caller, &input.current_password, email, username).await?;
        Ok(UpdateProfilePayload {
            user: User::own(user),
        })
    }

    /// Deactivates your account: all its log-ins are over, and it logs in no more until an administrator
    /// makes it active again. Your records and consents stay as they are.
    async fn deactivate_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "That it is you.")] input: DeactivateAccountInput,
    ) -> Result<UserActivityPayload> {
        let (app, caller) = request(ctx)?;
        let user = activity::deactivate_own(app, &caller, &input.current_password).await?;
        Ok(UserActivityPayload {
            user: User::own(user),
        })
    }

    /// Deactivates somebody's account and ends all its log-ins. Needs the role ADMIN; not for one's own
    /// account, and not for an administrator's.
    async fn deactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which account.")] input: UserActivityInput,
    ) -> Result<UserActivityPayload> {
        let (app, caller) = request(ctx)?;
        let user = activity::set_of(app, &caller, UserId(input.user_id), false).await?;
        Ok(UserActivityPayload {
            user: User::masked(user),
        })
    }

    /// Makes a deactivated account active again. Needs the role ADMIN; not for one's own account, and not
    /// for an administrator's.
    async fn reactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which account.")] input: UserActivityInput,
    ) -> Result<UserActivityPayload> {
        let (app, caller) = request(ctx)?;
        let user = activity::set_of(app, &caller, UserId(input.user_id), true).await?;
        Ok(UserActivityPayload {
            user: User::masked(user),
        })
    }

    /// Gives an account a role. Needs the role ADMIN. One administrator makes a doctor, or a patient; the
    /// role ADMIN is given and taken by two, who ask for the same within a day. Nobody changes their own.
    async fn set_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who becomes what.")] input: SetRoleInput,
    ) -> Result<SetRolePayload> {
        let (app, caller) = request(ctx)?;
        let (user, outcome) =
            set_role::set_role(app, &caller, UserId(input.user_id), input.role.into()).await?;
        let (outcome, confirm_before) = match outcome {
            set_role::Outcome::Done => (SetRoleOutcome::Done, None),
            set_role::Outcome::Waits { until } => (SetRoleOutcome::Waiting, Some(until)),
        };
        Ok(SetRolePayload {
            user: User::masked(user),
            outcome,
            confirm_before,
        })
    }
}
