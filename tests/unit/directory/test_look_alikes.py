"""Names that look like an opt state or a table, and those that do not."""

from __future__ import annotations

import pytest

from segue.directory.look_alikes import looks_like_table, opt_state_columns, says_opted_in

OUT = """
unsubscribed|Unsubscribed|UNSUBSCRIBED|un_subscribed|unsubscribe|is_unsubscribed|opted_out|opt_out
optout|OptOut|opted-out|Opted Out|email_opt_out|HasOptedOutOfEmail|has_opted_out_of_email
do_not_contact|DoNotCall|do not email|don't_contact|donotmarket|hs_email_optout|hs_email_optout_42
Unsubscribed from all email|Opt_Out__c|no_email|no_contact|dnc|suppressed|email_suppressed
donotbulkemail|donotbulkpostalmail|DoNotPhone|donotpostalmail|donotfax|donotsendmm|HasOptedOutOfFax
unsubbed|unsubscribed_bool|account_opt_out|list_unsubscribe|unsubscribedChannelIds|unsubscribed_from_emails
consent_revoked|consent_withdrawn|marketing_objection|Marketing Suspended|IsExcludedFromCampaigns
exclude_from_mailing|blocked_from_email|marked_email_as_spam|suppression_status|emailBlacklisted
unsubscribedMessageTypeIds|push_unsubscribed|et_unsubscribed|email_blocked|HasOptedOutOfMobile__c
not_subscribed|notsubscribed|non_subscriber|no_consent|without_consent|unconsented|not_contactable
unemailable|cannot_email|never_contact|is_no_email|has_no_contact|email_no_marketing|customer_no_sms
is_nomarketing|blacklist|blocklist|marketing_excluded|dnd|refuses_email|rejects_marketing|not_opted_in
objects_to_marketing|withdrew_consent|email1_unsubscribed|et4ae5__HasOptedOutOfMobile__c|sf_unsubscribed
is_unsubcribed|unsubcribe_all|shop_opted_out|unsubcribed|unsuscribed|unsubsribed|unsubscirbed|optde_out|opted_ot|donotcontct
"""
IN = """
opted_in|opt_in|OptIn|OPTED_IN|sms_opt_in|newsletter_opt_in|accepts_marketing|AcceptsMarketing
Accepts Email Marketing|accepts_sms|subscribed|is_subscribed|newsletter_subscribed|consent
marketing_consent|gdpr_consent|email_consent_given|consented|can_email|may_contact|allow_marketing
receives_newsletter|wants_offers|email_permission|email_subscription_status|contactable
accepts_marketng|permission_to_email|permission_to_contact|mailing_allowed|is_marketable|can_send
can_receive_email_marketing|email_subscribe|push_subscribe|marketing_opt_in_level|newsletter_subscriber
emailMarketingConsent.marketingState|rgpd_consent|DOUBLE_OPT-IN|gets_newsletter|marketing_agreed
sf_subscribed|mc_subscribed|my_subscribed|ac_subscribed|kl_subscribed|resubscribed|re_subscribed
web_subscribed|sfsubscribed|crm_opted_in|buyer_accepts_marketing|email_ok|okay_to_email|ok_to_email
sms_marketing_consent|$consent|subscribedMessageTypeIds|hs_marketable_status
"""
FIELDS = """
contact_id|first_name|email|phone|language|external_reference|created_at|modified_at|lifecycle|tier
status|city|notes|subscription|subscription_plan|subscription_status|subscriber|subscriber_id
options|optional|adopted|adopted_in|no_emails|no_calls|newsletter|consent_form_url|opt_in_source
described|cancelled|marketing_channel|email_domain|last_contacted|call_count|contact_owner|mail
subscribed_plan|subscribed_products|subscriptions_count|has_subscription|active_subscription
subscription_end|subscriber_since|consent_version|consent_source|consent_ip|cookie_consent_banner
terms_accepted|accepts_terms|accepts_cookies|permission_level|can_login|can_edit|blocked_payment
excluded_categories|exclusive|marketing_source|marketing_cost|marketing_segment|allow_discount
wants_demo|receives_invoice|no_show|no_orders|do_not_ship|donation|newsletter_topic|newsletter_opens
sms_count|email_opens|last_email_at|objection|withdrawn_amount|revoked|complaints|spam_score
account_status|list_price|lead_status|level|profile_id|bool_value|phone_extension|fax|mobile_phone
hs_lead_status|hs_object_id|hs_email_domain|ownerid|statecode|leadsource|MailingCity|member_rating
follow_email|marked_vip|list_id|lists|channel_ids|message_count|contact_preference|reason
permission|accepted|may_2026|allowed_logins|contacted_at|valid_until|output|outcome|blocked_seats
"""


def names(text: str) -> list[str]:
    return [name for line in text.strip().splitlines() for name in line.split("|")]


def test_names_of_opt_states():
    """Case, blanks, punctuation, words around and a wrong letter make no difference."""
    both = names(OUT) + names(IN)
    assert opt_state_columns(both, others_read=True) == both
    assert {name: says_opted_in(name) for name in names(OUT)} == dict.fromkeys(names(OUT), False)
    assert {name: says_opted_in(name) for name in names(IN)} == dict.fromkeys(names(IN), True)


def test_names_of_fields():
    """What people call other fields is none."""
    assert opt_state_columns(names(FIELDS), others_read=False) == []
    assert {says_opted_in(name) for name in names(FIELDS)} == {None}


def test_a_moment_goes_with_a_state():
    """When somebody opted out says that they did, unless another column says so already."""
    moments = [
        "date_unsubscribed",
        "unsubscribed_at",
        "opt_out_date",
        "OptedInOn",
        "unsub_reason",
        "OPTIN_TIME",
    ]
    assert opt_state_columns(moments, others_read=False) == moments
    assert opt_state_columns(moments, others_read=True) == []


@pytest.mark.parametrize(
    "name",
    names("""
Contacts.csv|contact.csv|CONTACTS.parquet|contacts|contacts.xlsx|contacts_0_0_0.csv|dbo.contacts.csv
transaction.csv|Transactions.parquet|transactons.csv|Subscriptions.csv|subscription.csv
subscriptions_0_0_0.csv|subscriptions.json|subscriptions.csv.zst|subscriptions.snappy.parquet
subcriptions.csv|crm_subscriptions.csv|Subscriptions|MailingLists.csv|mailing-lists.csv
dnc.csv|DNC_list.csv|consent.csv|Consents.parquet|user_consents.csv|subs.csv|unsubs.csv
do_not_call.csv|opt_outs.csv|optouts|unsubscribes.csv|suppression_list.csv|do_not_contact.csv|opt-ins.csv
"""),
)
def test_names_of_tables(name):
    """A table of almost the right name is meant to be read, as is one that is about opt-outs."""
    assert looks_like_table(name)


@pytest.mark.parametrize(
    "name",
    names(
        "_SUCCESS|orders.parquet|README.md|manifest.json|products.csv|actions.csv|x|consent_forms.csv|subsidiaries.csv"
    ),
)
def test_names_of_other_files(name):
    """Other files may lie beside the tables."""
    assert not looks_like_table(name)


@pytest.mark.parametrize("name", ["uk_subscribed", "u_subscribed", "usubscribed", "nsubscribed"])
def test_a_wrong_letter_that_may_be_the_negation_says_neither(name):
    """It is told as an opt state, and whoever says which it is, is believed."""
    assert opt_state_columns([name], others_read=True) == [name]
    assert says_opted_in(name) is None or "_" in name
